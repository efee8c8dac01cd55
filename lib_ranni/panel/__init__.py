"""The panel as data: types, geometry, edits, JSON in and out, and a preview picture."""
