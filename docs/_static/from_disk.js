// Pages opened from a disk: scripts cannot read other pages, so search shows titles only.
if (window.location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
