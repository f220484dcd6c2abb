// Reads the multipart stream: "--B\n", then for each event
// "Content-Type: application/json\nLast-Event-ID: id\n\n{json}\n--B\n".
// A part counts only when the boundary line after it is there; what was cut off is asked for again.

const LIMIT = 16 * 1024 * 1024; // characters in one unfinished part

/** The boundary named by a Content-Type header, or an Error. */
export function boundaryOf(contentType) {
  const match = /^multipart\/[^;]+;.*boundary="?([^";]+)"?/i.exec(contentType ?? "");
  if (!match) throw new Error("the answer is not a multipart stream");
  return match[1];
}

export class PartReader {
  #boundary;
  #text = "\n"; // so that the opening boundary is found like every other one

  constructor(boundary) {
    this.#boundary = `\n--${boundary}\n`;
  }

  /** Takes the next piece of text, gives the parts it completed: [{id, event}]. */
  push(piece) {
    const parts = [];
    let from = Math.max(0, this.#text.length - this.#boundary.length);
    this.#text += piece;
    for (let end; (end = this.#text.indexOf(this.#boundary, from)) >= 0; from = 0) {
      const part = parse(this.#text.slice(0, end));
      if (part) parts.push(part);
      this.#text = this.#text.slice(end + this.#boundary.length - 1);
    }
    if (this.#text.length > LIMIT) throw new Error("a part of the stream is too long");
    return parts;
  }
}

function parse(part) {
  const text = part.replace(/^\n+/, "");
  const gap = text.indexOf("\n\n");
  if (gap < 0) return null; // nothing before the first boundary, or no body
  const id = /^last-event-id:[ \t]*(.*)$/im.exec(text.slice(0, gap))?.[1];
  try {
    return { id, event: JSON.parse(text.slice(gap + 2)) };
  } catch {
    return { id, event: null }; // asking again would bring the same part again
  }
}
