import type { Sample } from '../sampler.js'
import type { Metrics } from './registry.js'

/** What stands in the databases, whichever process has written it. Returns how to set it. */
export function databaseMetrics(metrics: Metrics): (sample: Sample) => void {
  const up = metrics.gauge('database_up', 'Whether the database answers. database: source, ledger.', ['database'])
  const seconds = metrics.gauge('database_sample_duration_seconds', 'How long it took to read these metrics there.')
  const slotActive = metrics.gauge('slot_active', 'Whether a process reads from the slot.')
  const slotUsable = metrics.gauge('slot_usable', 'Whether the slot is there, and has what it needs of the WAL.')
  const lagBytes = metrics.gauge('slot_lag_bytes', 'WAL written since what the slot has confirmed.')
  const lagSeconds = metrics.gauge('slot_lag_seconds', 'The age of the oldest change that is not settled, at least.')
  const retained = metrics.gauge('slot_retained_bytes', 'WAL that the server keeps on its disk for the slot.')
  const safe = metrics.gauge(
    'slot_safe_wal_size_bytes',
    'How much more WAL may be written before the slot is lost; missing without max_slot_wal_keep_size.',
  )
  const keys = metrics.gauge('dirty_keys', 'Keys that wait in dirty.')
  const age = metrics.gauge('dirty_oldest_age_seconds', 'The age of the oldest key that waits in dirty; 0 without one.')
  const marks = metrics.gauge('dirty_whole_tables', 'Tables that are marked as a whole, and wait for a scan.')
  const refused = metrics.gauge('objects_refused', 'Objects that were refused. state: parked, dead.', [
    'namespace',
    'state',
  ])
  const due = metrics.gauge('objects_parked_due', 'Parked objects whose next attempt is due.')
  const open = metrics.gauge('requests_open', 'Requests without their results yet. kind: add, import.', ['kind'])
  const openAge = metrics.gauge('requests_open_oldest_age_seconds', 'The age of the oldest of them; 0 without one.')
  const workers = metrics.gauge('workers', 'Processes that work keys in dirty at present; none with replication.')
  const scans = metrics.gauge('scans_unfinished', 'Scans and backfills of tables that have begun and not ended.')

  return (sample) => {
    up([
      [{ database: 'source' }, Number(sample.sourceUp)],
      [{ database: 'ledger' }, Number(sample.ledgerUp)],
    ])
    seconds(sample.seconds)
    const slot = sample.slot
    slotActive(slot === null ? null : Number(slot.active))
    slotUsable(slot === null ? null : Number(slot.problem === null))
    lagBytes(slot?.lagBytes ?? null)
    lagSeconds(slot?.lagSeconds ?? null)
    retained(slot?.retainedBytes ?? null)
    safe(slot?.safeWalSizeBytes ?? null)
    keys(sample.dirty?.keys ?? null)
    age(sample.dirty?.oldestAgeSeconds ?? null)
    marks(sample.dirty?.wholeTables ?? null)
    refused((sample.refused ?? []).map(({ namespace, state, count }) => [{ namespace, state }, count]))
    due(sample.due?.due ?? null)
    const requests = sample.openRequests
    open(
      requests === null
        ? null
        : [
            [{ kind: 'add' }, requests.add],
            [{ kind: 'import' }, requests.import],
          ],
    )
    openAge(requests?.oldestAgeSeconds ?? null)
    workers(sample.work?.workers ?? null)
    scans(sample.work?.scans.length ?? null)
  }
}
