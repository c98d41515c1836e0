// One stream from its start to its end, as EventSource sees it.

/** The events that every stream can have, whatever the backend sends. */
export const CONTROL = [
  'stream.open', 'stream.reset', 'stream.bookmark', 'stream.waiting', 'stream.undecodable', 'stream.busy', 'stream.end',
];

export class Run {
  /** 'connecting', 'live', 'reconnecting', 'ended' or 'refused'. */
  state = 'connecting';
  /** The id of the last event that came. EventSource presents it by itself; it is kept for the stop button. */
  lastId = '';
  /** Responses that brought their first frame. */
  connections = 0;
  /** Responses that went on where the one before was lost. */
  resumed = 0;
  /** When the first frame of the newest response came: milliseconds since the page was loaded. */
  openedAt = 0;
  /** What stream.end said: a google.rpc.Status; undefined while the call goes on. */
  status = undefined;

  #source;
  #on;

  /**
   * Opens the stream.
   * url: what EventSource asks for.
   * types: the application's event types.
   * on: {event(type, data), control(type, data), state()}, called after this object was brought up to date.
   */
  constructor(url, types, on) {
    this.#on = on;
    this.#source = new EventSource(url);
    this.#source.addEventListener('open', () => this.#become('live'));
    this.#source.addEventListener('error', () => this.#broken());
    for (const type of types) {
      this.#source.addEventListener(type, (event) => {
        this.lastId = event.lastEventId;
        on.event(type, JSON.parse(event.data));
      });
    }
    for (const type of CONTROL) {
      this.#source.addEventListener(type, (event) => this.#control(type, event));
    }
  }

  get going() {
    return this.state !== 'ended' && this.state !== 'refused';
  }

  /** Whether what comes now had been waiting: it comes right behind the first frame of a response that is not the first. */
  get catchingUp() {
    return this.connections > 1 && performance.now() - this.openedAt < 100;
  }

  /** Whether the event that came last is part of a snapshot: the newest of its key, sent to who joins a shared stream. */
  get inSnapshot() {
    return /~s\d/.test(this.lastId);
  }

  /** Gives the connection up. The call goes on for a while: that is what #cancel is for. */
  close() {
    this.#source.close();
    if (this.going) this.#become('ended');
  }

  /** The stop button: the bridge cancels the call at once. The stream then ends with CANCELLED. */
  async cancel() {
    if (!this.lastId) return;
    await fetch('/sse.cancel', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ id: this.lastId }),
    });
  }

  #control(type, event) {
    this.lastId = event.lastEventId || this.lastId;
    // WebKit can put lines left over from a connection that was cut in front of a response's first frame. The frame's own
    // data is always one line, and so it is the last one.
    const data = JSON.parse(event.data.split('\n').at(-1));
    if (type === 'stream.open') {
      this.connections++;
      if (this.connections > 1 && data.resumed) this.resumed++;
      this.openedAt = performance.now();
    }
    if (type === 'stream.end') this.status = data;
    this.#on.control(type, data);
  }

  #broken() {
    // EventSource tells no reason. It asks again by itself, unless the answer was final: 204 after the end, or an error.
    if (this.#source.readyState === EventSource.CLOSED) {
      this.#become(this.status ? 'ended' : 'refused');
    } else {
      this.#become('reconnecting');
    }
  }

  #become(state) {
    this.state = state;
    this.#on.state();
  }
}
