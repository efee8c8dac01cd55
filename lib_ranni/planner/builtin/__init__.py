"""The built-in planner: prompt -> story -> boxes, by rule."""
