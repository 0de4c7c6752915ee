// Returns visible texts whose contrast to their background is below 4.5 : 1, except in
// scikit-learn's diagrams of estimators.
const parse = (text) => {
  const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
  const unit = text.startsWith("color(") ? 1 : 255;
  return [r / unit, g / unit, b / unit, a];
};
const over = (top, below) =>
  [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const light = (color) => {
  const [r, g, b] = color.map(linear);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
};
const background = (element) => {
  if (!element) return [1, 1, 1];
  const own = parse(getComputedStyle(element).backgroundColor);
  return own[3] === 1 ? own : over(own, background(element.parentElement));
};
const faint = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node; (node = walker.nextNode()); ) {
  const element = node.parentElement;
  const text = node.textContent.trim();
  const others = "svg, script, style, noscript, .headerlink, .sk-top-container";
  if (!text || element.closest(others)) continue;
  const visible = { visibilityProperty: true, opacityProperty: true };
  if (!element.checkVisibility(visible)) continue;
  const below = background(element);
  const color = over(parse(getComputedStyle(element).color), below);
  const [a, b] = [light(color), light(below)];
  if (Math.max(a, b) / Math.min(a, b) < 4.5) faint.push(text.slice(0, 40));
}
return [...new Set(faint)];
