import { createReadStream } from 'node:fs'
import type { RowKey } from '../../capture/change.js'
import { copyValue } from '../../copy-text.js'
import { formatLsn, type Lsn } from '../../lsn.js'

/**
 * What the ledger has to be told of an object of an import, as it stands in the manifest beside the file: each value in the
 * text format of COPY, a character for each byte, so that it is written to Postgres as it was read.
 */
export interface PartEntry {
  readonly id: string
  readonly fingerprint: string
  readonly lsn: string
  /** The request that the ledger had when the object was compared; `null`: it did not know the object. */
  readonly expected: string | null
  /** `\N` where the id tells it. */
  readonly key: string
}

/** An object as it is put into an import. */
export interface PartObject {
  readonly id: string
  readonly json: string
  readonly fingerprint: string
  readonly lsn: Lsn | null
  /** '' where the ledger knows the object and no request of it was ever accepted. */
  readonly expected: string | null
  readonly key: RowKey | null
}

export function manifestLine({ id, fingerprint, lsn, expected, key }: PartObject): string {
  const position = lsn === null ? '\\N' : formatLsn(lsn)
  const keyText = key === null ? '\\N' : copyValue(JSON.stringify(key))
  return `${copyValue(id)}\t${fingerprint}\t${position}\t${copyValue(expected)}\t${keyText}\n`
}

/** Reads a manifest, some hundred entries at a time. */
export async function* readManifest(file: string): AsyncGenerator<readonly PartEntry[]> {
  let begun = ''
  for await (const chunk of createReadStream(file, { encoding: 'latin1', highWaterMark: 128 * 1024 })) {
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
  return { id, fingerprint, lsn, expected: expected === '\\N' ? null : expected, key }
}
