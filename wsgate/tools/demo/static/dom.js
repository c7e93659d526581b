// The only way that text gets onto this page: as text, never as markup.

export const $ = (id) => document.getElementById(id);

export function element(tag, className = "", ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

export function setText(node, value) {
  const string = String(value);
  if (node.textContent !== string) node.textContent = string;
}

const calm = matchMedia("(prefers-reduced-motion: reduce)");

const running = new WeakMap();

// Starts anew each time, which a CSS animation on a class would not; the one before is dropped,
// or a busy market would pile them up.
export function animate(node, keyframes, duration, easing = "ease-out") {
  if (calm.matches) return;
  running.get(node)?.cancel();
  running.set(node, node.animate(keyframes, { duration, easing }));
}
