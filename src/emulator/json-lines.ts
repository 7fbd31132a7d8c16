import { isUtf8 } from 'node:buffer'
import type { Readable } from 'node:stream'
import { mistakeInObject } from './body.js'
import type { DataObject } from './objects.js'

export interface JsonLines {
  /** None where they are not kept. */
  readonly objects: readonly DataObject[]
  readonly lines: number
  readonly bytes: number
  /** What is wrong, by line; the first few. */
  readonly mistakes: readonly string[]
}

const maxMistakes = 10
const newline = 10

/**
 * Reads JSONL as it arrives: an upload may be larger than the longest string. A last line may end with a newline. Every
 * line is parsed, whether its object is kept or not; text is decoded in blocks of whole lines, which costs a third of
 * doing so line by line.
 */
export async function readJsonLines(source: Readable, keep: boolean): Promise<JsonLines> {
  const reader = new LineReader(keep)
  let begun: Buffer[] = []
  let bytes = 0
  for await (const chunk of source as AsyncIterable<Buffer>) {
    bytes += chunk.length
    const end = chunk.lastIndexOf(newline) + 1
    if (end > 0) {
      const whole = chunk.subarray(0, end)
      reader.read(begun.length === 0 ? whole : Buffer.concat([...begun, whole]))
      begun = []
    }
    if (end < chunk.length) begun.push(chunk.subarray(end))
  }
  if (begun.length > 0) reader.read(Buffer.concat(begun))
  if (reader.lines === 0) reader.mistakes.push('there are no lines')
  return { objects: reader.objects, lines: reader.lines, bytes, mistakes: reader.mistakes }
}

class LineReader {
  readonly objects: DataObject[] = []
  readonly mistakes: string[] = []
  lines = 0
  readonly #keep: boolean

  constructor(keep: boolean) {
    this.#keep = keep
  }

  /** Takes whole lines; the last may lack its newline. */
  read(block: Buffer): void {
    if (!isUtf8(block)) {
      this.#readBytes(block)
      return
    }
    const text = block.toString('utf8')
    for (let start = 0; start < text.length; ) {
      const next = text.indexOf('\n', start)
      const end = next === -1 ? text.length : next
      this.#take(text.slice(start, end))
      start = end + 1
    }
  }

  /** Finds the lines that are not UTF-8 in a block that is not. */
  #readBytes(block: Buffer): void {
    for (let start = 0; start < block.length; ) {
      const next = block.indexOf(newline, start)
      const end = next === -1 ? block.length : next
      const line = block.subarray(start, end)
      this.#take(isUtf8(line) ? line.toString('utf8') : '')
      start = end + 1
    }
  }

  #take(line: string): void {
    this.lines += 1
    const value = parsed(line)
    const mistake = value === undefined ? 'is not valid JSON' : mistakeInObject(value)
    if (mistake !== null) this.#mistake(mistake)
    else if (this.#keep) this.objects.push(value as DataObject)
  }

  #mistake(what: string): void {
    if (this.mistakes.length < maxMistakes) this.mistakes.push(`line ${this.lines} ${what}`)
  }
}

/** `undefined` is not JSON. */
function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
