"""Installs what the WebUI lacks for this extension; the host runs this file at every start.

Without network and with everything in place it does nothing. Packages go in without their dependencies,
so nothing that the host pins is ever changed.
"""

from __future__ import annotations

import launch

# Import name -> what pip installs. Anything else the extension uses comes with the host.
_NEEDED = {"msgspec": "msgspec>=0.18.6", "httpx_sse": "httpx-sse>=0.4.2"}

for _module, _requirement in _NEEDED.items():
    if not launch.is_installed(_module):
        launch.run_pip(f'install --no-deps "{_requirement}"', f"{_requirement} for Ranni")
