// An answer that is typed out. GET /v1/chat?prompt=…
import { el, plural, randomName } from '../dom.js';

export const chat = {
  title: 'Chat',
  method: 'demo.chat.v1.ChatService/Complete',
  start: 'Ask',
  types: ['start', 'progress', 'token', 'complete', 'failed'],

  url(form) {
    const query = new URLSearchParams({ prompt: form.get('prompt') });
    if (form.get('tokens_per_second')) query.set('tokens_per_second', form.get('tokens_per_second'));
    if (form.get('fault')) query.set('fault', form.get('fault'));
    // Browsers repeat a request by themselves when it dies before the first byte. With a name, the repetition is the same
    // call: the answer is written, and paid for, once.
    query.set('sse.call', randomName(24));
    return `/v1/chat?${query}`;
  },

  view(box, form) {
    // A screen reader hears the answer when it is complete, not word by word: that is what aria-busy is for.
    const text = el('p.text');
    const stage = el('p.thinking', {}, 'Waiting for the model …');
    const answer = el('div.bubble.answer', { 'aria-live': 'polite', 'aria-busy': 'true' }, stage, text);
    box.replaceChildren(el('div.bubble.prompt', {}, form.get('prompt')), answer);
    const done = (note, bad) => {
      answer.setAttribute('aria-busy', 'false');
      answer.classList.add('done');
      stage.remove();
      answer.append(el(bad ? 'p.note.bad' : 'p.note', {}, note));
    };
    return {
      event(type, data) {
        switch (type) {
          case 'start':
            stage.textContent = `${data.start.model} reads ${plural(data.start.promptTokens, 'token')} …`;
            break;
          case 'progress':
            stage.textContent = `${data.progress.stage} … ${data.progress.percent} %`;
            break;
          case 'token':
            stage.hidden = true;
            text.append(data.token.text);
            break;
          case 'complete':
            done(`${plural(data.complete.completionTokens, 'token')}, ${data.complete.finishReason === 'FINISH_REASON_LENGTH' ? 'cut to length' : 'complete'}`);
            break;
          case 'failed':
            done(`Failed after ${plural(data.failed.completionTokens ?? 0, 'token')}: ${data.failed.reason}`, true);
        }
      },
      reset() {
        text.replaceChildren();
      },
      ended() {
        if (!answer.classList.contains('done')) done(text.hasChildNodes() ? 'Stopped here' : 'No answer', false);
      },
    };
  },
};
