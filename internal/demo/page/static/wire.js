// What passed between the browser and the bridge, as the page's server saw it: connections, heads, bytes, cuts.

/** A connection's text is cut into frames at empty lines; of the text, this many characters are kept. */
const KEPT_FRAMES = 400;

export class Wire {
  /** The name by which the server knows what this page asks for. */
  tap;
  /** The run's connections, oldest first. */
  connections = [];

  #run = '';
  #changed;

  constructor(tap, changed) {
    this.tap = tap;
    this.#changed = changed;
    const source = new EventSource(`/demo/wire?tap=${tap}`);
    const on = (type, take) => source.addEventListener(type, (event) => {
      const note = JSON.parse(event.data);
      if (note.run !== this.#run) return;
      take(note);
      this.#changed();
    });
    on('open-connection', (note) => this.connections.push(new Connection(note)));
    on('head', (note) => this.#find(note)?.head(note));
    on('bytes', (note) => this.#find(note)?.bytes(note));
    on('close-connection', (note) => this.#find(note)?.close(note));
  }

  /** From now on only this run counts. */
  begin(run) {
    this.#run = run;
    this.connections = [];
    this.#changed();
  }

  /** The connection that is open, or was last. */
  get newest() {
    return this.connections.at(-1);
  }

  #find(note) {
    return this.connections.find((connection) => connection.number === note.connection);
  }
}

class Connection {
  status = 0;
  contentType = '';
  /** Complete frames, oldest first: {text, type, id, data, at}; a body that is no stream is one frame of type ''. */
  frames = [];
  /** What came after the last complete frame. */
  rest = '';
  closedAt = 0;
  /** '', 'cut', 'end', 'client' or 'error'. */
  why = '';
  /** Events of the application, and the numbers of the first and the last of them. */
  events = 0;
  first = 0;
  last = 0;
  /** How many of them came within a moment of the first frame: they had been waiting. */
  waiting = 0;
  /** How many of them are part of a snapshot. */
  snapshot = 0;
  /** Events of the bridge: {type, data, at}. */
  control = [];
  retry = 0;
  /** Frames that are no longer kept. */
  dropped = 0;

  constructor(note) {
    this.number = note.connection;
    this.at = note.at;
    this.method = note.method;
    this.url = note.url;
    this.lastEventId = note.lastEventId ?? '';
  }

  get isStream() {
    return this.contentType.startsWith('text/event-stream');
  }

  /** Whether the browser got the first frame, and so counted this as a connection. */
  get opened() {
    return this.control.some((event) => event.type === 'stream.open');
  }

  head(note) {
    this.status = note.status;
    this.contentType = note.header?.['Content-Type']?.[0] ?? '';
  }

  bytes(note) {
    this.rest += note.text;
    if (!this.isStream) return;
    for (let end = this.rest.indexOf('\n\n'); end >= 0; end = this.rest.indexOf('\n\n')) {
      this.#frame(this.rest.slice(0, end + 1), note.at);
      this.rest = this.rest.slice(end + 2);
    }
  }

  close(note) {
    this.closedAt = note.at;
    this.why = note.why;
  }

  #frame(text, at) {
    const frame = { text, type: '', id: '', data: '', at };
    for (const line of text.split('\n')) {
      if (line.startsWith('event: ')) frame.type = line.slice(7);
      if (line.startsWith('id: ')) frame.id = line.slice(4);
      if (line.startsWith('data: ')) frame.data = line.slice(6);
      if (line.startsWith('retry: ')) this.retry = Number(line.slice(7));
    }
    this.frames.push(frame);
    if (this.frames.length > KEPT_FRAMES) {
      this.frames.splice(0, KEPT_FRAMES / 2);
      this.dropped += KEPT_FRAMES / 2;
    }
    if (!frame.data) return;
    if (frame.type.startsWith('stream.')) {
      this.control.push({ type: frame.type, data: parsed(frame.data), at });
      return;
    }
    const sequence = parsed(frame.data).sequence ?? 0;
    this.events++;
    this.first ||= sequence;
    this.last = sequence;
    if (/~s\d/.test(frame.id)) this.snapshot++;
    const opened = this.control[0]?.at ?? this.at;
    if (this.lastEventId && at - opened < 100) this.waiting++;
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
