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

  const complete = () => {
    document.querySelectorAll(".material-symbols-outlined:not([aria-hidden])").forEach(labelIcon);
    document.querySelectorAll(`${CLICKED}:not([role]):not(:empty)`).forEach(makeButton);
    document.querySelectorAll(BOXES).forEach(nameBox);
  };

  addEventListener("DOMContentLoaded", () => {
    complete();
    new MutationObserver(complete).observe(document.body, { childList: true, subtree: true });
  });
})();
