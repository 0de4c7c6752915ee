// Pages opened from a disk: scripts cannot read other pages, so search shows titles only.
if (window.location.protocol === "file:") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}

// Sphinx's own scores, except a little more for the main estimator, whose methods most
// recommenders have, and less for modules (objPrio 0), which have no page of their own,
// and for the changelog, which has every word.
var Scorer = {
  score: ([page, title, anchor, description, score]) =>
    page.endsWith(".TwoTowerRecommender") ? score + 3
      : page === "changelog" ? score - 20
      : score,
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 5, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
