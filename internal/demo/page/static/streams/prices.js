// A table of prices that change. GET /v1/prices?symbols=…
//
// Shared: every tab that asks for the same reads one call, and gets the newest price of each symbol first.
import { el } from '../dom.js';

const dollars = new Intl.NumberFormat('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const percent = new Intl.NumberFormat('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2, signDisplay: 'exceptZero' });

const ALL = 8; // symbols there are

export const prices = {
  title: 'Prices',
  method: 'demo.prices.v1.PriceService/WatchPrices',
  start: 'Watch the prices',
  shared: true,
  types: ['price'],

  url(form) {
    const query = new URLSearchParams();
    const symbols = form.getAll('symbols');
    if (symbols.length < ALL) for (const symbol of symbols) query.append('symbols', symbol); // none stands for all
    if (form.get('interval')) query.set('interval', form.get('interval'));
    return query.size ? `/v1/prices?${query}` : '/v1/prices';
  },

  view(box) {
    const body = el('tbody');
    const rows = new Map();
    box.replaceChildren(el('table.prices', {},
      el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, 'Symbol'), el('th', { scope: 'col' }, 'Company'),
        el('th', { scope: 'col' }, 'Price, USD'), el('th', { scope: 'col' }, 'Today'))),
      body));
    const add = (data) => {
      const row = { price: el('td.number'), change: el('td.number'), last: data.price };
      body.append(el('tr', {}, el('th', { scope: 'row' }, data.symbol), el('td.name', {}, data.name), row.price, row.change));
      rows.set(data.symbol, row);
      return row;
    };
    return {
      event(_, data) {
        const row = rows.get(data.symbol) ?? add(data);
        const direction = Math.sign(data.price - row.last);
        row.last = data.price;
        row.price.textContent = dollars.format(data.price);
        row.change.textContent = `${percent.format(data.changePercent)} %`;
        row.change.dataset.direction = Math.sign(data.changePercent);
        if (direction === 0) return;
        row.price.dataset.direction = direction;
        // The same animation starts again only after the old one is gone.
        for (const animation of row.price.getAnimations()) animation.cancel();
        row.price.classList.remove('flash');
        void row.price.offsetWidth;
        row.price.classList.add('flash');
      },
      reset() {},
      ended() {},
    };
  },
};
