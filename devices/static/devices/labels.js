// Accessibility of the admin's library for keyboards and screen readers. The library draws icons with words that are
// read aloud ("unfold_more"), has links and boxes without a name, and has buttons that the keyboard cannot use.
(() => {
  const NAMES = {
    add: { en: "Add", id: "Tambah" },
    arrow_back: { en: "Back", id: "Kembali" },
    computer: { en: "Theme", id: "Tema" },
    dark_mode: { en: "Theme", id: "Tema" },
    dock_to_right: { en: "Show or hide the menu", id: "Tampilkan atau sembunyikan menu" },
    ecg_heart: { en: "Overview", id: "Ringkasan" },
    light_mode: { en: "Theme", id: "Tema" },
    more_horiz: { en: "More", id: "Lainnya" },
    more_vert: { en: "More", id: "Lainnya" },
    search: { en: "Search", id: "Cari" },
    visibility: { en: "Show the characters", id: "Tampilkan karakter" },
    visibility_off: { en: "Hide the characters", id: "Sembunyikan karakter" },
  };
  const CLICKED = "[x-on\\:click]:not(a[href], button, input, label, select)";
  const BOXES = ".select2-selection, .select2-selection [role=textbox], .select2-selection [role=searchbox]";
  const language = document.documentElement.lang;

  const labelIcon = (icon) => {
    if (!icon.textContent.trim()) return; // not drawn yet
    const control = icon.closest(`a, button, ${CLICKED}`);
    const name = NAMES[icon.textContent.trim()];
    if (control && name && control.textContent.trim() === icon.textContent.trim()) {
      control.setAttribute("aria-label", name[language] || name.en);
    }
    if (control !== icon) icon.setAttribute("aria-hidden", "true");
  };

  const makeButton = (element) => {
    element.setAttribute("role", "button");
    element.tabIndex = 0;
    element.addEventListener("keydown", (event) => {
      if (event.target !== element || (event.key !== "Enter" && event.key !== " ")) return;
      event.preventDefault();
      element.click();
    });
  };

  const nameBox = (box) => {
    const select = box.closest(".select2").previousElementSibling;
    const label = select.labels[0] || select.closest("form").querySelector(`[for="${select.id}"]`);
    const name = (label || select.parentElement.closest("div:has(h3)")?.querySelector("h3"))?.textContent;
    if (name) box.setAttribute("aria-label", name.replace("*", "").trim());
  };

  // An open select2 has its list at the end of the page, without a name.
  const nameOpenList = (list) => {
    const box = document.querySelector(".select2-container--open .select2-selection");
    const name = box?.getAttribute("aria-label") || NAMES.search[language] || NAMES.search.en;
    list.setAttribute("role", "region");
    list.setAttribute("aria-label", name);
    list.querySelector(".select2-search__field")?.setAttribute("aria-label", name);
    list.querySelector(".select2-results__options")?.setAttribute("aria-label", name);
    if (box?.getAttribute("aria-owns")) box.setAttribute("aria-controls", box.getAttribute("aria-owns"));
  };

  // Enter on a tick box leads to the actions. Without this, it would send the form without an action.
  const goToActions = (event) => {
    if (event.key !== "Enter" || !event.target.matches("input.action-select, input.action-toggle")) return;
    event.preventDefault();
    if (!event.target.checked) event.target.click();
    document.querySelector("#changelist-actions select[name=action]")?.focus();
  };

  // Ctrl+K leads to the search of all devices, also if the menu is closed.
  const goToSearch = (event) => {
    const field = document.getElementById("search-everywhere");
    if (!field || event.key !== "k" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    if (!field.checkVisibility()) document.querySelector('button[x-on\\:click^="sidebarMobile"]')?.click();
    setTimeout(() => field.focus());
  };

  const complete = () => {
    document.querySelectorAll(".material-symbols-outlined:not([aria-hidden])").forEach(labelIcon);
    document.querySelectorAll(`${CLICKED}:not([role]):not(:empty)`).forEach(makeButton);
    document.querySelectorAll(BOXES).forEach(nameBox);
    document.querySelectorAll(".select2-container:not(.select2):has(> .select2-dropdown)").forEach(nameOpenList);
  };

  // The library calls each area that scrolls "scrollable content".
  document.querySelectorAll("[data-simplebar]:not([data-simplebar-aria-label])").forEach((area, index) => {
    const name = area.id === "nav-sidebar-apps" ? { en: "Menu", id: "Menu" } : { en: "Area", id: "Bagian" };
    area.dataset.simplebarAriaLabel = `${name[language] || name.en} ${index + 1}`;
  });
  document.querySelector("#nav-sidebar-inner")?.setAttribute("aria-label", "Menu");
  document.querySelector("#nav-sidebar-inner nav")?.setAttribute("aria-label", language === "id" ? "Akun" : "Account");
  document.querySelectorAll("#changelist-filter h3").forEach((title) => title.setAttribute("aria-level", "2"));
  document.querySelectorAll("[data-label]").forEach((cell) => {
    cell.dataset.label = cell.dataset.label.charAt(0).toUpperCase() + cell.dataset.label.slice(1);
  });
  addEventListener("keydown", goToActions);
  addEventListener("keydown", goToSearch);

  addEventListener("DOMContentLoaded", () => {
    complete();
    new MutationObserver(complete).observe(document.body, { childList: true, subtree: true });
  });
})();
