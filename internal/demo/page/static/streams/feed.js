// A feed of numbered items. GET /v1/feed
//
// Shared: every tab that asks for the same reads one call, from the oldest item that the bridge keeps.
import { el } from '../dom.js';

const SHOWN = 60;

export const feed = {
  title: 'Feed',
  method: 'demo.feed.v1.FeedService/WatchFeed',
  start: 'Watch the feed',
  shared: true,
  // The types are the kinds of items: the method says `event: {field: "kind"}`.
  types: ['deploy', 'comment', 'alert', 'signup'],

  url(form) {
    const query = new URLSearchParams();
    if (form.get('interval')) query.set('interval', form.get('interval'));
    if (form.get('count')) query.set('count', form.get('count'));
    return query.size ? `/v1/feed?${query}` : '/v1/feed';
  },

  view(box) {
    const list = el('ol.feed', { tabIndex: 0, 'aria-label': 'Items, newest first' });
    box.replaceChildren(list);
    return {
      event(type, data) {
        list.prepend(el('li', { 'data-kind': type },
          el('span.n', {}, data.sequence), el('span.kind', {}, type),
          el('span.what', {}, el('b', {}, data.actor), ` ${data.text}`),
          el('time', { dateTime: data.time }, new Date(data.time).toLocaleTimeString('en-GB'))));
        while (list.children.length > SHOWN) list.lastChild.remove();
      },
      reset() {},
      ended() {},
    };
  },
};
