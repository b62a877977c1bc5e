// Sets the chosen theme before the first paint. A classic script, loaded in the head on purpose:
// a module would run after the page has already been painted in the other theme.
(() => {
  try {
    const theme = localStorage.getItem("forebay.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage may be forbidden; the system's preference then stands.
  }
})();
