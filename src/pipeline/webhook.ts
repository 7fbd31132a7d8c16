import type { ResolvedSync } from '../config/resolved.js'
import { EvaluationStore } from '../ledger/evaluations.js'
import { openLedgerPool } from '../ledger/postgres.js'
import { WebhookStore } from '../ledger/webhooks.js'
import type { Logger } from '../logger.js'
import { Intake } from '../results/intake.js'
import { WebhookReceiver } from '../results/webhook.js'

interface WebhookParts {
  readonly resolved: Pick<ResolvedSync, 'schema' | 'onResult'>
  /** Of the side tables. */
  readonly databaseUrl: string
  readonly secrets: readonly string[]
  readonly logger: Logger
}

/** SafetyKit sends again what is not answered within 15 s. */
const databaseTimeoutMs = 5_000

/** A receiver over connections of its own. */
export function openWebhook({ resolved, databaseUrl, secrets, logger }: WebhookParts): {
  receive(request: Request): Promise<Response>
  close(): Promise<void>
} {
  const { schema, onResult } = resolved
  const db = openLedgerPool({
    connectionString: databaseUrl,
    max: 2,
    connectTimeoutMs: databaseTimeoutMs,
    statementTimeoutMs: databaseTimeoutMs,
    onError: (error) => {
      // The pool hangs the client on it, and with that the connection's settings.
      Reflect.deleteProperty(error, 'client')
      logger.warn('An idle database connection broke; it is replaced', { error })
    },
  })
  const evaluations = new EvaluationStore({ db, schema })
  const receiver = new WebhookReceiver({
    secrets,
    webhooks: new WebhookStore({ db, schema }),
    evaluations,
    intake: new Intake({ store: evaluations, onResult, logger }),
    logger,
  })
  return { receive: (request) => receiver.receive(request), close: () => db.end() }
}
