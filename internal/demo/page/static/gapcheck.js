// Whether anything is missing or came twice, by the sequence numbers inside the events. Knows nothing of the page.

/** How many results are kept for the tape. */
const KEPT = 600;

export class GapCheck {
  /** Events that came, those that came twice counted once. */
  events = 0;
  /** Numbers that did not come. */
  missing = new Set();
  /** How often a number came that had come before. */
  twice = 0;
  /** How often the bridge said that what follows does not continue what came before. */
  resets = 0;
  /** The newest results, oldest first: {sequence, connection, kind}, kind 'ok', 'waited', 'snapshot', 'missing', 'twice' or 'reset'. */
  tape = [];
  /** The first and the last number since the last reset; 0 for none. */
  first = 0;
  last = 0;

  #expected;

  /** first: the number that the first event must have; null where that may be any. */
  constructor(first = 1) {
    this.#expected = first ?? undefined;
  }

  /**
   * Takes the number of the next event, the connection that brought it, counted from 1, and how it came: 'ok', 'waited'
   * when it had been waiting for this connection, 'snapshot' when it is the newest of its key, so that those before it
   * need not come.
   */
  add(sequence, connection, how = 'ok') {
    if (this.#expected === undefined || (how === 'snapshot' && sequence > this.#expected)) this.#expected = sequence;
    if (sequence < this.#expected) {
      if (this.missing.delete(sequence)) {
        this.events++; // late, but it came
      } else {
        this.twice++;
        this.#keep({ sequence, connection, kind: 'twice' });
      }
      return;
    }
    // Of a very long gap the first thousand are enough to show it.
    for (let lost = this.#expected; lost < sequence && lost < this.#expected + 1000; lost++) {
      this.missing.add(lost);
      this.#keep({ sequence: lost, connection, kind: 'missing' });
    }
    this.events++;
    this.first ||= sequence;
    this.last = sequence;
    this.#expected = sequence + 1;
    this.#keep({ sequence, connection, kind: how });
  }

  /** The bridge said that the next number may be any. */
  reset(connection) {
    this.resets++;
    this.first = 0;
    this.#expected = undefined;
    this.#keep({ sequence: 0, connection, kind: 'reset' });
  }

  get good() {
    return this.missing.size === 0 && this.twice === 0;
  }

  #keep(cell) {
    this.tape.push(cell);
    if (this.tape.length > 2 * KEPT) this.tape.splice(0, KEPT);
  }
}
