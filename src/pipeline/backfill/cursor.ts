import { createHash } from 'node:crypto'
import type { WalkPosition } from '../../capture/scan.js'
import type { Mapping } from '../../config/resolved.js'
import type { SpooledPart } from '../../delivery/import/spool.js'
import type { BackfillRequest } from './report.js'

/**
 * How far the backfill of a table has come: what `scans.cursor` holds. Whoever reads it goes on from there, in the same
 * process or in another one.
 */
export interface BackfillCursor {
  /** What was asked for, of which mappings. Another question begins anew. */
  readonly asked: string
  /** Sends also what is in step. */
  readonly force: boolean
  /** All rows up to here are settled, or their keys are in `dirty`. */
  readonly position: WalkPosition | null
  /** Imports that were started and are not recorded. */
  readonly parts: readonly PendingPart[]
  /** There was more to send than goes as ongoing changes do. */
  readonly importing: boolean
  /** An import was started, by this backfill or by one that did not come to its end. */
  readonly hasImported: boolean
  readonly counts: Counts
}

/** An import that was started, and its files. */
export interface PendingPart extends SpooledPart {
  readonly namespace: string
  readonly requestId: string
  readonly objectKey: string
  /** So many of its objects are in the ledger, in the order of the manifest. */
  readonly recorded: number
  /** Since the first of them is: ISO 8601. */
  readonly acceptedAt: string | null
}

export interface Counts {
  readonly rows: number
  readonly inStep: number
  readonly refused: number
  readonly imported: number
  readonly imports: number
  readonly queued: number
}

export const noCounts: Counts = { rows: 0, inStep: 0, refused: 0, imported: 0, imports: 0, queued: 0 }

/**
 * From the first row on.
 * @param left what a backfill has left that was asked for something else: its imports may have arrived.
 */
export function beginning(asked: string, force: boolean, left?: unknown): BackfillCursor {
  const { parts, hasImported } = isCursor(left) ? left : { parts: [], hasImported: false }
  return { asked, force, position: null, parts, importing: false, hasImported, counts: noCounts }
}

/** The cursor of an earlier process, where it was asked for the same. */
export function cursorToGoOnWith(stored: unknown, asked: string): BackfillCursor | null {
  return isCursor(stored) && stored.asked === asked ? stored : null
}

const isCursor = (stored: unknown): stored is BackfillCursor =>
  typeof stored === 'object' && stored !== null && 'asked' in stored

/** What is asked for, in short: with another mapping, also the rows that were walked are to be compared anew. */
export function askedOf(
  { where, force, limit }: Pick<BackfillRequest, 'where' | 'force' | 'limit'>,
  mappings: readonly Mapping[],
): string {
  const asked = [where ?? null, force ?? false, limit ?? null, mappings]
  const text = JSON.stringify(asked, (_, value: unknown) => (typeof value === 'function' ? String(value) : value))
  return createHash('sha256').update(text).digest('base64url')
}
