import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { isRecord } from './settings.js'
import type { DataObject } from './store.js'

/**
 * Reads a whole body; rejects when the client goes away. What is too large is read to its end and dropped: a client that
 * is still sending would not see the answer.
 */
export function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer | 'too-large'> {
  return new Promise((resolve, reject) => {
    let chunks: Buffer[] = []
    let bytes = 0
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes <= maxBytes) chunks.push(chunk)
      else chunks = []
    })
    request.on('end', () => {
      if (bytes > maxBytes) resolve('too-large')
      else resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks))
    })
    request.on('error', reject)
  })
}

/** `undefined` is not JSON. */
export function parseJson(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) return undefined
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  }
}

/** What is wrong with a value that should be an object to store, or `null`. */
export function mistakeInObject(value: unknown): string | null {
  if (!isRecord(value)) return 'is not a JSON object'
  const { id } = value
  if (typeof id !== 'string') return id === undefined ? 'has no id' : 'has an id that is not a string'
  return id === '' ? 'has an empty id' : null
}

export interface JsonLines {
  readonly objects: readonly DataObject[]
  /** What is wrong, by line; the first few. */
  readonly mistakes: readonly string[]
}

const maxMistakes = 10

/** Reads JSONL as it arrives: an upload may be larger than the longest string. A last line may end with a newline. */
export async function readJsonLines(request: IncomingMessage): Promise<JsonLines> {
  const objects: DataObject[] = []
  const mistakes: string[] = []
  let line = 0
  const take = (bytes: Buffer): void => {
    line += 1
    const value = parseJson(bytes)
    const mistake = value === undefined ? 'is not valid JSON' : mistakeInObject(value)
    if (mistake === null) objects.push(value as DataObject)
    else if (mistakes.length < maxMistakes) mistakes.push(`line ${line} ${mistake}`)
  }

  let begun: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) {
    let start = 0
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      const tail = chunk.subarray(start, end)
      take(begun.length === 0 ? tail : Buffer.concat([...begun, tail]))
      begun = []
      start = end + 1
    }
    if (start < chunk.length) begun.push(chunk.subarray(start))
  }
  if (begun.length > 0) take(Buffer.concat(begun))
  if (line === 0) mistakes.push('there are no lines')
  return { objects, mistakes }
}
