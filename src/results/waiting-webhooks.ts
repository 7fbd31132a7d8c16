import type { WaitingWebhook, WebhookPosition, WebhookStore } from '../ledger/webhooks.js'
import type { Logger } from '../logger.js'
import { readWebhook } from './answers.js'
import type { Intake } from './intake.js'
import { restMs } from './pace.js'

interface WaitingWebhooksOptions {
  readonly store: WebhookStore
  readonly intake: Intake
  readonly logger: Logger
}

/** Looked at in one look, of the newest and of the others. */
const pageSize = 200

/** Webhooks that came before the ledger knew their request: they are applied once it does. */
export class WaitingWebhooks {
  readonly #options: WaitingWebhooksOptions
  /** Where the next page of the older ones begins: the whole of them is gone through, a page a look. */
  #position: WebhookPosition | null = null
  #failures = 0
  #restUntilMs = 0

  constructor(options: WaitingWebhooksOptions) {
    this.#options = options
  }

  async look(signal: AbortSignal): Promise<void> {
    if (performance.now() < this.#restUntilMs) return
    if (await this.#all(signal)) this.#failures = 0
    else {
      this.#failures += 1
      this.#restUntilMs = performance.now() + restMs(this.#failures, null, Math.random)
    }
  }

  /** `false` where one of them could not be applied, though its request is known. */
  async #all(signal: AbortSignal): Promise<boolean> {
    const { store, logger } = this.#options
    // Most of them are applied as soon as the worker that has sent their request has recorded it.
    const newest = await store.waiting('newest', pageSize)
    let all = await this.#applyEach(newest, signal)
    if (newest.length < pageSize && this.#position === null && newest.every(({ old }) => !old)) return all
    const page = await store.waiting(this.#position, pageSize)
    if (page.some(({ old }) => old)) {
      const dropped = await store.dropOld()
      const hint = 'Does another system send its own rows to this SafetyKit account, under the same webhook?'
      logger.warn('Webhooks about requests that the ledger does not know were forgotten', { webhooks: dropped, hint })
    }
    const seen = new Set(newest.map(({ webhookId }) => webhookId))
    const others = page.filter(({ webhookId, old }) => !old && !seen.has(webhookId))
    all = (await this.#applyEach(others, signal)) && all
    this.#position = page.length < pageSize ? null : (page.at(-1)?.position ?? null)
    return all
  }

  async #applyEach(webhooks: readonly WaitingWebhook[], signal: AbortSignal): Promise<boolean> {
    let all = true
    for (const webhook of webhooks) all = (await this.#apply(webhook, signal)) && all
    return all
  }

  async #apply(webhook: WaitingWebhook, signal: AbortSignal): Promise<boolean> {
    if (!webhook.known || signal.aborted) return true
    const { store, intake, logger } = this.#options
    const { namespace, requestId } = webhook
    const evaluation = readWebhook(webhook.event)
    if (evaluation === null || 'unknown' in evaluation) {
      await store.drop([webhook.webhookId])
      return true
    }
    try {
      if (!(await intake.take({ namespace, requestId, evaluations: [evaluation] }, signal))) return signal.aborted
      await store.applied(webhook, evaluation)
      return true
    } catch (error) {
      logger.error('A webhook that waited could not be recorded, trying again', { namespace, requestId, error })
      return false
    }
  }
}
