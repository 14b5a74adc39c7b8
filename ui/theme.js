// Sets the chosen theme before anything is drawn; without a choice the system's holds.
try {
  const theme = localStorage.getItem("theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // Storage is forbidden: the system's theme.
}
