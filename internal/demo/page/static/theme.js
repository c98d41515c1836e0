// Colours: as the system says, until a person chooses. A plain script in the head, so that a dark page never flashes white.
'use strict';
{
  const root = document.documentElement;
  const stored = () => {
    try {
      return localStorage.getItem('theme') ?? 'auto';
    } catch {
      return 'auto'; // storage is blocked
    }
  };
  const apply = (choice) => {
    if (choice === 'auto') {
      delete root.dataset.theme;
    } else {
      root.dataset.theme = choice;
    }
    for (const button of document.querySelectorAll('[data-theme-choice]')) {
      button.setAttribute('aria-pressed', String(button.dataset.themeChoice === choice));
    }
  };
  apply(stored());
  document.addEventListener('DOMContentLoaded', () => {
    apply(stored());
    for (const button of document.querySelectorAll('[data-theme-choice]')) {
      button.addEventListener('click', () => {
        try {
          localStorage.setItem('theme', button.dataset.themeChoice);
        } catch {
          // The choice holds until the page is left.
        }
        apply(button.dataset.themeChoice);
      });
    }
  });
}
