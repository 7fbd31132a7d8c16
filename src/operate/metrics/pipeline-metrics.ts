import type { ResolvedSync } from '../../config/resolved.js'
import type { EnginePhase, EngineState } from '../../pipeline/engine-state.js'
import type { Measures } from '../../pipeline/measures.js'
import type { Readiness } from '../health.js'
import type { Metrics } from './registry.js'

export interface ProcessFacts {
  readonly readiness: Readiness
  /** `null` before there is a pipeline; so `measures`. */
  readonly state: EngineState | null
  readonly measures: Measures | null
}

const phases: Readonly<Record<EnginePhase, null>> = {
  starting: null,
  standby: null,
  connecting: null,
  streaming: null,
  stalled: null,
  spilling: null,
  working: null,
  stopped: null,
}

/** What this process does and holds. Returns how to set it. */
export function pipelineMetrics(
  metrics: Metrics,
  { version, resolved }: { readonly version: string; readonly resolved: ResolvedSync },
): (facts: ProcessFacts) => void {
  const { capture } = resolved
  metrics.gauge('build_info', 'The version that runs, and how it captures.', ['version', 'capture'])([
    [{ version, capture }, 1],
  ])
  const ready = metrics.gauge('ready', 'Whether /readyz answers 200.')
  const phase = metrics.gauge('phase', 'What the process is doing: 1 for its phase, 0 for the others.', ['phase'])
  const misfits = metrics.gauge('mapping_misfits', 'Tables that their mapping does not fit; their keys wait.')
  const uncaptured = metrics.gauge('uncaptured_tables', 'Mapped tables whose changes are not captured; run migrate.')
  const inFlight = metrics.gauge('api_requests_in_flight', 'Delivery requests in flight.')
  const maxInFlight = metrics.gauge(
    'api_requests_in_flight_limit',
    'Delivery requests that may be in flight; falls on 429 and recovers.',
  )
  const pendingBytes = metrics.gauge('pending_bytes', 'Memory of changes that wait or are in flight, about.')
  const leases = metrics.gauge('leases_held', 'Parts of the keys, and scans, that this process has to itself.')
  const roundTrip = metrics.gauge(
    'heartbeat_round_trip_seconds',
    'How long the last heartbeat took through the WAL and back.',
  )
  const seenAt = metrics.gauge('heartbeat_seen_timestamp_seconds', 'When the last heartbeat came back.')
  const changes = metrics.total('changes', 'Changes of mapped tables that came in. door: wal, dirty.', ['door', 'kind'])
  const settled = metrics.total(
    'objects_settled',
    'States of objects that are settled. outcome: accepted, unchanged, parked, gone (nothing to send), deferred (to dirty).',
    ['outcome'],
  )
  const retries = metrics.total('api_request_retries', 'Delivery requests that failed and are tried again.')
  const throttled = metrics.total('api_requests_throttled', 'Delivery requests that the API answered with 429.')
  const scanned = metrics.total('scan_rows', 'Rows that scans have compared with the ledger.')
  const differing = metrics.total('scan_differing_rows', 'Rows that scans have found not in step, and put into dirty.')
  const finished = metrics.total('scans_finished', 'Scans of tables that came to their end.')
  const reconnects = metrics.total('slot_reconnects', 'Connections to the slot that were lost.')
  const stalls = metrics.total('stalls', 'Times that the stream brought nothing although it was connected.')
  const recreated = metrics.total('slots_recreated', 'Slots that were lost and made anew.')
  const spilled = metrics.total('spilled_keys', 'Keys that were put into dirty because they could not be delivered.')

  return ({ readiness, state, measures }) => {
    ready(readiness.ready ? 1 : 0)
    phase(Object.keys(phases).map((name) => [{ phase: name }, name === readiness.phase ? 1 : 0]))
    if (state !== null) {
      roundTrip(state.heartbeat === null ? null : state.heartbeat.roundTripMs / 1_000)
      seenAt(state.heartbeat === null ? null : state.heartbeat.seenAt.getTime() / 1_000)
      reconnects(state.counts.reconnects)
      stalls(state.counts.stalls)
      recreated(state.counts.slotsRecreated)
      spilled(state.counts.spilledKeys)
    }
    if (measures === null) return
    misfits(measures.misfits.length)
    uncaptured(measures.uncaptured.length)
    inFlight(measures.requestsInFlight)
    maxInFlight(measures.maxRequestsInFlight)
    pendingBytes(measures.pendingBytes)
    leases(measures.leases)
    const { insert, update, delete: deleted, truncate, key, scan } = measures.changes
    changes([
      [{ door: 'wal', kind: 'insert' }, insert],
      [{ door: 'wal', kind: 'update' }, update],
      [{ door: 'wal', kind: 'delete' }, deleted],
      [{ door: 'wal', kind: 'truncate' }, truncate],
      [{ door: 'dirty', kind: 'key' }, key],
    ])
    const { accepted, unchanged, parked, gone, deferred } = measures.dispatched
    settled(Object.entries({ accepted, unchanged, parked, gone, deferred }).map(([outcome, n]) => [{ outcome }, n]))
    retries(measures.dispatched.retries)
    throttled(measures.dispatched.throttled)
    scanned(scan.rows)
    differing(scan.differing)
    finished(scan.finished)
  }
}
