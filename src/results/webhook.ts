import { Webhook } from 'standardwebhooks'
import type { EvaluationStore } from '../ledger/evaluations.js'
import type { WebhookStore } from '../ledger/webhooks.js'
import type { Logger } from '../logger.js'
import { parseJson, readWebhook } from './answers.js'
import type { Intake } from './intake.js'

export interface WebhookReceiverOptions {
  /** Those that are accepted, as SafetyKit shows them (`whsec_…`). More than one while they are changed. */
  readonly secrets: readonly string[]
  readonly webhooks: Pick<WebhookStore, 'has' | 'keep' | 'applied'>
  readonly evaluations: Pick<EvaluationStore, 'knows'>
  readonly intake: Intake
  readonly logger: Logger
}

const maxBodyBytes = 1024 * 1024
/** SafetyKit waits for 15 s, and sends again what was not answered with 2xx. */
const answerWithinMs = 10_000
const maxIdLength = 1_000

/**
 * Takes what SafetyKit sends of its own accord.
 * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
export class WebhookReceiver {
  readonly #options: WebhookReceiverOptions
  readonly #verifiers: readonly Webhook[]
  #refused = 0
  #refusedToldMs = Number.NEGATIVE_INFINITY

  /** @throws where a secret is not base64. */
  constructor(options: WebhookReceiverOptions) {
    this.#options = options
    this.#verifiers = options.secrets.map((secret) => new Webhook(secret))
  }

  /**
   * Answers 200 once what it says is recorded, or known, or kept until its request is known, or none of ours; 4xx where it
   * is not SafetyKit's; 5xx where it is to be sent again.
   */
  async receive(request: Request): Promise<Response> {
    if (request.method !== 'POST') return answer(405, 'only POST is taken', { allow: 'POST' })
    const ended = new AbortController()
    const late = new Promise<Response>((resolve) => {
      const timer = setTimeout(() => resolve(answer(503, 'not recorded in time')), answerWithinMs)
      ended.signal.addEventListener('abort', () => clearTimeout(timer))
    })
    try {
      return await Promise.race([this.#receive(request), late])
    } finally {
      ended.abort()
    }
  }

  async #receive(request: Request): Promise<Response> {
    const { logger } = this.#options
    let body: string | null
    try {
      body = await readBody(request)
    } catch {
      return answer(400, 'the body was not sent to its end')
    }
    try {
      if (body === null) return answer(413, `the body is larger than ${maxBodyBytes} bytes`)
      const webhookId = request.headers.get('webhook-id') ?? ''
      if (!this.#isSigned(body, request.headers)) {
        this.#tellRefused()
        return answer(401, 'the signature or its time is not valid')
      }
      if (webhookId.length > maxIdLength) return answer(400, 'the id is too long')
      return await this.#signed(webhookId, parseJson(body))
    } catch (error) {
      logger.error('A webhook could not be recorded; SafetyKit sends it again', { error })
      return answer(503, 'it could not be recorded', { 'retry-after': '5' })
    }
  }

  #isSigned(body: string, headers: Headers): boolean {
    const signature = Object.fromEntries(
      ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => [name, headers.get(name) ?? '']),
    )
    return this.#verifiers.some((verifier) => {
      try {
        verifier.verify(body, signature, { jsonParse: false })
        return true
      } catch {
        return false
      }
    })
  }

  /** Once a minute: anyone may send them. */
  #tellRefused(): void {
    this.#refused += 1
    if (performance.now() < this.#refusedToldMs + 60_000) return
    const hint = 'Is SAFETYKIT_WEBHOOK_SECRET the one that SafetyKit shows for this webhook, and is the clock right?'
    this.#options.logger.warn('Webhooks whose signature or time is not valid were refused', {
      webhooks: this.#refused,
      hint,
    })
    this.#refused = 0
    this.#refusedToldMs = performance.now()
  }

  async #signed(webhookId: string, event: unknown): Promise<Response> {
    const { webhooks, evaluations, intake, logger } = this.#options
    const evaluation = readWebhook(event)
    if (evaluation === null) {
      logger.warn("A webhook is not as SafetyKit's contract has it", { webhookId })
      return answer(400, 'the event is not one that is known')
    }
    if ('unknown' in evaluation) {
      logger.debug('A webhook of another type is ignored', { webhookId, type: evaluation.unknown })
      return answer(200)
    }
    if (await webhooks.has(webhookId)) return answer(200)
    const { namespace, objectId, requestId } = evaluation
    const received = { webhookId, namespace, objectId, requestId }
    if (!(await evaluations.knows(requestId))) {
      logger.debug('A webhook is kept until its request is known', { webhookId, namespace, requestId })
      await webhooks.keep(received, event)
      return answer(200)
    }
    // What takes longer than the answer may is recorded all the same, and the next of these is a known one.
    const taken = await intake.take({ namespace, requestId, evaluations: [evaluation] }, never)
    if (!taken) return answer(500, 'it could not be worked on', { 'retry-after': '5' })
    await webhooks.applied(received, evaluation)
    if (evaluation.status === 'failed') {
      logger.warn('SafetyKit could not evaluate an object', { namespace, requestId, reason: evaluation.error })
    }
    return answer(200)
  }
}

const never = new AbortController().signal

/** `null` where it is too large; the rest of it is not read then. */
async function readBody(request: Request): Promise<string | null> {
  if (Number(request.headers.get('content-length') ?? 0) > maxBodyBytes) {
    await request.body?.cancel()
    return null
  }
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of request.body ?? []) {
    bytes += chunk.byteLength
    // Leaving the loop cancels the stream.
    if (bytes > maxBodyBytes) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

const answer = (status: number, error?: string, headers: Record<string, string> = {}): Response =>
  Response.json(error === undefined ? {} : { error }, { status, headers })
