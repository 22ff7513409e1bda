"""A page in Debian's headless Chromium: what it measures there, and whether anything goes wrong."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

# From Debian: flags that keep it quiet, and from looking for anything outside.
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND",
]  # fmt: skip

# Runs when the page has loaded, with everything that folds opened, and tells the page around it what it finds.
MEASURE = """
<script>
const blocked = [];
document.addEventListener("securitypolicyviolation", (event) => blocked.push(event.blockedURI));
const LINEAR = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
const channels = (text) => text.match(/[\\d.]+/g).map(Number);
const luminance = ([r, g, b]) => 0.2126 * LINEAR(r / 255) + 0.7152 * LINEAR(g / 255) + 0.0722 * LINEAR(b / 255);

// The colour behind an element, null where it is mixed.
function behind(node) {
  for (let at = node; at; at = at.parentElement) {
    const color = getComputedStyle(at).backgroundColor;
    if (!color.startsWith("rgb")) return null;
    const [r, g, b, a = 1] = channels(color);
    if (a === 1) return [r, g, b];
    if (a > 0) return null;
  }
  return [255, 255, 255];
}

function tooPale(node) {
  const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
  if (!own || !node.getClientRects().length || node.closest("svg, script, video")) return [];
  const back = behind(node);
  if (!back) return [];
  const pair = [luminance(channels(getComputedStyle(node).color)), luminance(back)].sort((a, b) => b - a);
  const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
  return ratio < 4.5 ? [`${node.tagName}.${node.className} ${ratio.toFixed(2)}: ${node.textContent.trim()}`] : [];
}

addEventListener("load", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  const wide = document.documentElement.clientWidth;
  const all = [...document.querySelectorAll("body *")];
  const beyond = (node) => !node.closest(".scroll, .skip") && node.getBoundingClientRect().right > wide + 1;
  const resources = performance.getEntriesByType("resource").map((entry) => entry.name);
  const found = {
    width: innerWidth,
    overflow: document.documentElement.scrollWidth - wide,
    outside: all.filter(beyond).map((node) => `${node.tagName}.${node.getAttribute("class")}`).slice(0, 5),
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    page: getComputedStyle(document.body).backgroundColor,
    requests: resources.filter((name) => !name.startsWith("data:")),
    blocked,
    pale: all.flatMap(tooPale),
    unreachable: [...document.querySelectorAll(".scroll")].filter((node) => node.tabIndex < 0).length,
  };
  const tell = () => parent.postMessage(JSON.stringify(found), "*");
  SCRIPT
  tell();
});
</script>
"""
POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; media-src data:; '
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
)
# A window is never narrower than 500 px; a frame in it is.
AROUND = """<!DOCTYPE html>
<style>:root { color-scheme: light dark } iframe { border: 0 }</style>
<pre id="measured"></pre>
<script>
addEventListener("message", (event) => { document.getElementById("measured").textContent = event.data; });
</script>
<iframe src="NAME" width="WIDTH" height="900"></iframe>
"""


def chromium() -> str:
    """Returns the browser's path; without one the test is skipped, and says so."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium): pages are not looked at")
    return found


def measure(page: Path, folder: Path, *, width: int, dark: bool, script: str = "") -> dict[str, Any]:
    """Loads a copy of a page and returns what is measured in it, and the console's lines.

    Args:
        page: the HTML file.
        folder: for the copy and the browser's profile.
        width: of the page, in CSS pixels.
        dark: the system's colour scheme.
        script: JavaScript that runs before it is told and may add to ``found``; ``tell()`` tells it again.
    """
    head, rest = page.read_text(encoding="utf-8").split("<head>", 1)
    copy = folder / f"{page.stem}-{width}.html"
    copy.write_text(f"{head}<head>{POLICY}{MEASURE.replace('SCRIPT', script)}{rest}", encoding="utf-8")
    around = folder / f"around-{width}.html"
    around.write_text(AROUND.replace("NAME", copy.name).replace("WIDTH", str(width)), encoding="utf-8")
    scheme = ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if dark else []
    profile = folder / f"profile-{width}-{dark}"
    command = [chromium(), *FLAGS, *scheme, f"--user-data-dir={profile}", f"--window-size={width + 40},1000"]
    command += ["--virtual-time-budget=4000", "--dump-dom", around.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    measured = re.search(r'<pre id="measured">(.+?)</pre>', done.stdout, flags=re.S)
    assert measured, f"nothing was measured:\n{done.stderr[-2000:]}"
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return {**json.loads(html.unescape(measured[1])), "console": console}
