import { createReadStream } from 'node:fs'
import type { RowKey } from '../../capture/change.js'
import { formatLsn, type Lsn } from '../../lsn.js'

/** What the ledger has to be told of an object of an import, as it stands in the manifest beside the file. */
export interface PartEntry {
  readonly id: string
  readonly fingerprint: string
  /** As Postgres writes it. */
  readonly lsn: string | null
  /** The request that the ledger had when the object was compared, '' for none; `null`: it did not know the object. */
  readonly expected: string | null
  /** JSON; `null` where the id tells it. */
  readonly key: string | null
}

/** An object as it is put into an import. */
export interface PartObject extends Pick<PartEntry, 'id' | 'fingerprint' | 'expected'> {
  readonly json: string
  readonly lsn: Lsn | null
  readonly key: RowKey | null
}

/** A line of fields with tabs between them, escaped as COPY does it. */
export function manifestLine({ id, fingerprint, lsn, expected, key }: PartObject): string {
  const position = lsn === null ? '\\N' : formatLsn(lsn)
  return `${written(id)}\t${fingerprint}\t${position}\t${written(expected)}\t${key === null ? '\\N' : written(JSON.stringify(key))}\n`
}

/** Reads a manifest, some hundred entries at a time. */
export async function* readManifest(file: string): AsyncGenerator<readonly PartEntry[]> {
  let begun = ''
  for await (const chunk of createReadStream(file, { encoding: 'utf8', highWaterMark: 128 * 1024 })) {
    const lines = (begun + String(chunk)).split('\n')
    begun = lines.pop() ?? ''
    yield lines.map(parseLine)
  }
}

function parseLine(line: string): PartEntry {
  const [id, fingerprint, lsn, expected, key] = line.split('\t')
  if (
    id === undefined ||
    fingerprint === undefined ||
    lsn === undefined ||
    expected === undefined ||
    key === undefined
  ) {
    throw new RangeError('a line of the manifest is cut off')
  }
  return { id: parsed(id) ?? '', fingerprint, lsn: parsed(lsn), expected: parsed(expected), key: parsed(key) }
}

function written(value: string | null): string {
  if (value === null) return '\\N'
  return needsEscape.test(value) ? value.replace(escaped, (character) => escapes[character] ?? character) : value
}

function parsed(text: string): string | null {
  if (text === '\\N') return null
  return text.includes('\\')
    ? text.replace(/\\(.)/g, (_, character: string) => unescapes[character] ?? character)
    : text
}

const needsEscape = /[\\\t\n\r]/
const escaped = /[\\\t\n\r]/g
const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' }
const unescapes: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r' }
