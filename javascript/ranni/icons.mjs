/** The icons: strokes on a field of 16 by 16. */

import { svg } from "./dom.mjs";

/** @type {Readonly<Record<string, string>>} */
const PATHS = Object.freeze({
  undo: "M6 3 3 6l3 3M3 6h6a4 4 0 0 1 0 8H6",
  redo: "m10 3 3 3-3 3m3-3H7a4 4 0 0 0 0 8h3",
  add: "M8 3v10M3 8h10",
  duplicate: "M6 6h7v7H6zM10 6V3H3v7h3",
  remove: "M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5l.6 8.5h5.8l.6-8.5",
  forward: "m4 9 4-4 4 4",
  backward: "m4 7 4 4 4-4",
  snap: "M4 3v5a4 4 0 0 0 8 0V3M2.5 3h3M10.5 3h3",
  grid: "M3 3h10v10H3zM6.3 3v10M9.7 3v10M3 6.3h10M3 9.7h10",
  zoom_in: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 1 0 0-9M10.5 10.5 14 14M5 7h4M7 5v4",
  zoom_out: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 1 0 0-9M10.5 10.5 14 14M5 7h4",
  fit: "M3 6V3h3M10 3h3v3M13 10v3h-3M6 13H3v-3",
  lock: "M4 7.5h8V13H4zM5.5 7.5V5.5a2.5 2.5 0 0 1 5 0v2",
  unlock: "M4 7.5h8V13H4zM5.5 7.5v-3a2.5 2.5 0 0 1 4.8-1",
  show: "M1.5 8C4 3.5 12 3.5 14.5 8 12 12.5 4 12.5 1.5 8zM8 6.2a1.8 1.8 0 1 0 0 3.6 1.8 1.8 0 1 0 0-3.6",
  hide: "M1.5 8C4 3.5 12 3.5 14.5 8 12 12.5 4 12.5 1.5 8zM3 13 13 3",
  rename: "m3 13 .7-3 7-7 2.3 2.3-7 7z",
  move: "M8 2v12M2 8h12M6 4l2-2 2 2M6 12l2 2 2-2M4 6 2 8l2 2M12 6l2 2-2 2",
  picture: "M2.5 3h11v10h-11zM2.5 11l3.5-4 3 3.5 2-2 2.5 2.5M10.5 5.5v.1",
  close: "m4.5 4.5 7 7M11.5 4.5l-7 7",
  align_left: "M2.5 2v12M5 4.5h8M5 10.5h5",
  align_center: "M8 2v12M3.5 4.5h9M5 10.5h6",
  align_right: "M13.5 2v12M3 4.5h8M6 10.5h5",
  align_top: "M2 2.5h12M4.5 5v8M10.5 5v5",
  align_middle: "M2 8h12M4.5 3.5v9M10.5 5v6",
  align_bottom: "M2 13.5h12M4.5 3v8M10.5 6v5",
  distribute_x: "M2.5 2v12M13.5 2v12M6.5 5h3v6h-3z",
  distribute_y: "M2 2.5h12M2 13.5h12M5 6.5h6v3H5z",
});

/** @param {string} name */
export function icon(name) {
  return svg(
    "svg",
    { class: "ranni-icon", viewBox: "0 0 16 16", "aria-hidden": "true" },
    svg("path", { d: PATHS[name] }),
  );
}
