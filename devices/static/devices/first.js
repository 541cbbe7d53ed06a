// Runs before the page is drawn. It marks that scripts run, and sets the theme that the user has chosen: the library sets
// it later, so a dark page would be bright at first.
(() => {
  const page = document.documentElement;
  page.classList.add("has-scripts");
  let theme = "auto";
  try {
    theme = JSON.parse(localStorage.getItem("adminTheme")) || theme;
  } catch {
    // The browser stores nothing.
  }
  if (theme === "dark" || (theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches)) {
    page.classList.add("dark");
    document.addEventListener("alpine:init", () => page.classList.remove("dark")); // the library adds it again
  }
})();
