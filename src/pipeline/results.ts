import { EvaluationStore } from '../ledger/evaluations.js'
import { LeaseStore } from '../ledger/leases.js'
import type { Queryable } from '../ledger/postgres.js'
import { type KeyColumn, ResultStore } from '../ledger/results.js'
import { WebhookStore } from '../ledger/webhooks.js'
import { ResultFiles } from '../results/data-url.js'
import { Follower } from '../results/follow.js'
import { Intake } from '../results/intake.js'
import { Poller } from '../results/poll.js'
import { WaitingWebhooks } from '../results/waiting-webhooks.js'
import type { Parts } from './engine.js'
import { Lease } from './lease.js'
import type { Sources } from './sources.js'

/** Of all processes on a database, the one that has it follows the requests. */
const leaseName = 'results'

export interface Following {
  /** Leaves it to whoever looks next; for a process that may be frozen now. */
  rest(): Promise<void>
  stop(): Promise<void>
}

/**
 * Follows the requests that SafetyKit has not finished, and brings the evaluations back to the objects.
 * @param onKeys keys were put into `dirty`.
 */
export function followRequests(parts: Parts, onKeys: () => void): Following {
  const { resolved, databases, sources, client, proxy, events, logger } = parts
  const { schema, results: following, onResult } = resolved
  // What is delivered is recorded over the same few connections, and goes first.
  const db = oneAtATime(databases.ledger)
  const store = new ResultStore({ db, schema })
  const intake = new Intake({ store: new EvaluationStore({ db, schema }), onResult, events, logger })
  const files = new ResultFiles({ proxy })
  const poller = new Poller({
    following,
    store,
    follower: new Follower({
      following,
      store,
      intake,
      files,
      client,
      keyColumns: () => keyColumns(sources),
      onKeys,
      logger,
    }),
    waiting: new WaitingWebhooks({ store: new WebhookStore({ db, schema }), intake, logger }),
    lease: new Lease({ store: new LeaseStore({ pool: databases.ledger, schema }), name: leaseName }),
    onUnauthorized: (error) => parts.fail(error),
    logger,
  })
  return {
    rest: () => poller.rest(),
    async stop() {
      await poller.stop()
      await files.close()
    },
  }
}

/** Where an id is the whole key of its row, which column it is the value of. */
function keyColumns(sources: Sources): readonly KeyColumn[] {
  return sources.all.flatMap(({ name, targets }) =>
    targets.flatMap(({ origin: { source, namespace, keyOf } }) => {
      const [column] = Object.keys(keyOf?.('') ?? {})
      if (column === undefined) return []
      return [...new Set([name, source])].map((named) => ({ source: named, namespace, column }))
    }),
  )
}

/** Uses one connection of a pool at most. */
function oneAtATime(pool: Queryable): Queryable {
  let turn: Promise<unknown> = Promise.resolve()
  return {
    query(text, values) {
      const result = turn.then(() => pool.query(text, values))
      turn = result.catch(() => {})
      return result
    },
  }
}
