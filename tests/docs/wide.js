// Return the parts of a page that reach beyond its right edge, except those that scroll.
const edge = document.documentElement.clientWidth + 1;
const scrolls = (e) => {
  for (let p = e.parentElement; p && p.tagName !== "ARTICLE"; p = p.parentElement) {
    if (getComputedStyle(p).overflowX !== "visible") return true;
  }
  return false;
};
return [...document.querySelectorAll("article *")]
  .filter((e) => e.getBoundingClientRect().width)
  .filter((e) => e.getBoundingClientRect().right > edge && !scrolls(e))
  .slice(0, 5)
  .map((e) => `${e.tagName}: ${e.textContent.trim().slice(0, 40)}`);
