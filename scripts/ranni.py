"""Entry of the extension; everything is in the package beside this folder."""

from lib_ranni.webui import script

script.register()


class RanniScript(script.RanniScript):
    """Defined here, because the host only takes classes of this file."""
