import type { ResolvedSync } from '../config/resolved.js'
import type { ClientOptions, SafetyKitClient } from '../delivery/client.js'
import { Dispatcher } from '../delivery/dispatch.js'
import type { DispatchCounts, DispatchOptions } from '../delivery/dispatch-options.js'
import type { SyncError } from '../errors.js'
import type { EventSink } from '../events.js'
import type { Ledger } from '../ledger/ledger.js'
import type { Logger } from '../logger.js'
import type { ChangeCounts } from './change-counts.js'
import type { Databases } from './databases.js'
import type { LiveState } from './live-state.js'
import type { SettingsPush } from './push-settings.js'
import { rowsReader } from './read-rows.js'
import type { Sources } from './sources.js'

/** What every way of noticing changes works with. */
export interface Parts {
  /** Tells this process from others that deliver: a UUID. */
  readonly process: string
  readonly resolved: ResolvedSync
  readonly databaseUrl: string
  readonly databases: Databases
  readonly sources: Sources
  readonly ledger: Ledger
  readonly client: SafetyKitClient
  /** A namespace gets its settings before any of its data. */
  readonly settings: SettingsPush
  /** On the way to object storage as well. */
  readonly proxy: ClientOptions['proxy']
  readonly events: EventSink | undefined
  readonly logger: Logger
  /** Is added to. Default: nobody counts. */
  readonly changes?: ChangeCounts | undefined
  /** Aborted when no more is to be taken. */
  readonly signal: AbortSignal
  /** Ends everything with an error that only a person can mend. */
  fail(error: SyncError): void
}

/** What an engine holds right now. */
export interface EngineLoad {
  readonly requestsInFlight: number
  /** As many as the API takes at present. */
  readonly maxRequestsInFlight: number
  /** The memory of what waits or is in flight, about. */
  readonly pendingBytes: number
  /** Leases that are this process' own; 0 with replication, where the slot is. */
  readonly leases: number
}

/** One way in which changes come, from its start until what is in flight is settled. */
export interface Engine {
  readonly counts: DispatchCounts
  readonly state: LiveState
  readonly load: EngineLoad
  /** Until the signal is aborted; then it ends in the order in which nothing can be lost. */
  run(): Promise<void>
  /** Something was written: looks at once. */
  wake(): void
  /** What was held may be sent now. */
  release(): void
  /** Gives back what it has to itself, where nothing is in hand. */
  rest(): Promise<void>
  /** Gives up on what cannot be recorded. */
  abandon(): void
}

export function openDispatcher(
  parts: Parts,
  hooks: Pick<DispatchOptions, 'beforeSend' | 'mayRecord' | 'onPendingBytes' | 'spill'>,
): Dispatcher {
  const { client, settings, ledger, databases, sources, resolved, events, logger } = parts
  return new Dispatcher({
    client,
    ledger,
    readRows: rowsReader({ db: databases.source, sources }),
    delivery: resolved.delivery,
    parking: resolved.parking,
    ...hooks,
    isHeld: (namespace) => !settings.isPushed(namespace),
    onUnauthorized: (error) => parts.fail(error),
    events,
    logger,
  })
}

export function loadOf(dispatcher: Dispatcher, leases: number): EngineLoad {
  const { concurrency, pendingBytes } = dispatcher
  return { requestsInFlight: concurrency.inFlight, maxRequestsInFlight: concurrency.limit, pendingBytes, leases }
}

export const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
