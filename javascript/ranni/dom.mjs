/** Making and updating nodes. Text only ever becomes text nodes and attribute values. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @typedef {Record<string, string | number | boolean | null | undefined | ((event: any) => unknown)>} Attributes
 */

/**
 * An HTML element. Attributes that are functions become listeners of the event they are named for.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name @param {Attributes} [attributes] @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function html(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  update(node, attributes);
  node.append(...children);
  return node;
}

/** @param {string} label @param {(event: MouseEvent) => unknown} click @param {string} [kind] */
export const button = (label, click, kind = "button") =>
  html("button", { type: "button", class: `ranni-${kind}`, click }, label);

/**
 * An SVG element.
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} name @param {Attributes} [attributes] @param {...(Node | string)} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, name);
  update(node, attributes);
  node.append(...children);
  return node;
}

/**
 * Set attributes where they differ; null, undefined and false remove one.
 * @param {Element} node @param {Attributes} attributes
 */
export function update(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === null || value === undefined || value === false) node.removeAttribute(name);
    else {
      const text = value === true ? "" : String(value);
      if (node.getAttribute(name) !== text) node.setAttribute(name, text);
    }
  }
}

/** Set a node's text where it differs. @param {Node} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Whether keys and the clipboard belong to this node itself. @param {EventTarget | null} node */
export function isField(node) {
  return node instanceof Element && node.matches("input, textarea, select, [contenteditable]");
}
