// A link to a parameter opens the fold that it is in, also in older browsers.
const unfold = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let e = target; e; e = e.parentElement) {
    if (e.tagName === "DETAILS") e.open = true;
  }
  if (target?.closest("details")) target.scrollIntoView();
};
window.addEventListener("hashchange", unfold);
window.addEventListener("DOMContentLoaded", unfold);
