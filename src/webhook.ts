import type { ResolvedSync } from './config/resolved.js'
import { databaseUrl, webhookSecrets } from './environment.js'
import type { Evaluation } from './evaluation.js'
import { consoleLogger } from './extension/console-logger.js'
import { type Logger, silentLogger } from './logger.js'

/** What the door for webhooks needs beside the configuration. What is left out is read from the environment at the first request. */
export interface WebhookOptions {
  /**
   * The secret that SafetyKit signs with, `whsec_…`; several with spaces between them, while it is changed. Default:
   * `SAFETYKIT_WEBHOOK_SECRET`.
   */
  readonly secret?: string
  /** The database with the side tables. Default: that of the configuration's `ledgerUrl`, else `DATABASE_URL`. */
  readonly databaseUrl?: string
  /** In place of the configuration's own. */
  readonly onResult?: (evaluation: Evaluation) => unknown
  /** What is told, and where to. `false`: nothing. Default: warnings and errors, to the console. */
  readonly logger?: Logger | false
}

/** Takes the webhooks of SafetyKit. Never rejects. */
export interface WebhookHandler {
  /**
   * Answers 200 once the evaluation is recorded; 401 where the signature is not SafetyKit's, or older than 5 minutes; 5xx,
   * within 10 seconds, where SafetyKit is to send it again.
   */
  (request: Request): Promise<Response>
  /** Closes the connections to the database; the next request opens them anew. */
  close(): Promise<void>
}

/** What answers, and what ends it. */
interface Opened {
  receive(request: Request): Promise<Response>
  close(): Promise<void>
}

/** Nothing is loaded or connected to before the first request, so that a module which makes one is light to import. */
export function createWebhook(resolved: ResolvedSync, options: WebhookOptions = {}): WebhookHandler {
  const logger = options.logger === false ? silentLogger : (options.logger ?? consoleLogger(options.secret))
  let opened: Promise<Opened> | null = null
  const open = async (): Promise<Opened> => {
    const secrets = webhookSecrets({
      value: options.secret,
      name: 'secret of sync.webhook()',
      orGive: ', or give it to sync.webhook({ secret })',
    })
    const { ledgerUrl } = resolved
    const url = (options.databaseUrl === undefined ? ledgerUrl : null) ?? urlOf(options)
    const { openWebhook } = await import('./pipeline/webhook.js')
    const onResult = options.onResult ?? resolved.onResult
    return openWebhook({ resolved: { schema: resolved.schema, onResult }, databaseUrl: url, secrets, logger })
  }
  const handler = async (request: Request): Promise<Response> => {
    opened ??= open()
    const attempt = opened
    try {
      return await (await attempt).receive(request)
    } catch (error) {
      if (opened === attempt) opened = null
      logger.error('Webhooks cannot be taken', { error })
      return Response.json({ error: 'webhooks are not set up' }, { status: 500 })
    }
  }
  return Object.assign(handler, {
    async close() {
      const closing = opened
      opened = null
      await (await closing?.catch(() => null))?.close()
    },
  })
}

const urlOf = ({ databaseUrl: value }: WebhookOptions): string =>
  databaseUrl({
    value,
    name: 'databaseUrl of sync.webhook()',
    orGive: ', or give it to sync.webhook({ databaseUrl })',
  })
