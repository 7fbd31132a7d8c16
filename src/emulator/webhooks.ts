import { randomBytes } from 'node:crypto'
import type { WebhookEvent } from './webhook-events.js'
import { secretBytes, signedHeaders } from './webhook-signature.js'

export interface WebhookOptions {
  /** Where events are posted to. */
  readonly url: string
  /** `whsec_` and base64. */
  readonly secret: string
  /** The time from a request's end to its events. Default: 0. */
  readonly delayMs?: number
  /** The times between an attempt that was not answered with 2xx and the next; then it is given up. Default: 0.5, 2, 10 and 60 s. */
  readonly retryMs?: readonly number[]
}

/** One event and what became of it. */
export interface WebhookDelivery {
  /** The `webhook-id`, the same in each attempt. */
  readonly id: string
  readonly type: WebhookEvent['type']
  readonly namespace: string
  readonly objectId: string
  readonly requestId: string
  readonly state: 'waiting' | 'delivered' | 'given-up'
  /** Attempts that have ended. */
  readonly attempts: number
  /** Of the last attempt; `null` where there was no answer. */
  readonly lastStatus: number | null
}

interface Delivery extends WebhookDelivery {
  readonly body: string
  state: WebhookDelivery['state']
  attempts: number
  lastStatus: number | null
  retries: number
}

const maxConcurrent = 8
const timeoutMs = 15_000
const defaultRetryMs = [500, 2_000, 10_000, 60_000]

/** Posts events, signed as Standard Webhooks, until they are answered with 2xx. */
export class Webhooks {
  #target: (Required<WebhookOptions> & { readonly key: Buffer }) | null = null
  readonly #deliveries = new Map<string, Delivery>()
  /** To be attempted next; the oldest first. */
  readonly #ready = new Set<Delivery>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #posting = new Set<AbortController>()
  #active = 0
  #held = false

  /**
   * Says where events go; `null` is nowhere: then none arises, and those that wait do so until there is a place again.
   * Throws a `TypeError` that says what is wrong.
   */
  configure(options: WebhookOptions | null): void {
    this.#target = options === null ? null : checked(options)
    this.#pump()
  }

  /** Sends these events after the delay that is set. */
  send(events: Iterable<WebhookEvent>): void {
    if (this.#target === null) return
    const added: Delivery[] = []
    for (const event of events) {
      const delivery: Delivery = {
        id: `msg_${randomBytes(12).toString('hex')}`,
        type: event.type,
        namespace: event.namespace,
        objectId: event.id,
        requestId: event.request_id,
        state: 'waiting',
        attempts: 0,
        lastStatus: null,
        body: JSON.stringify(event),
        retries: 0,
      }
      this.#deliveries.set(delivery.id, delivery)
      added.push(delivery)
    }
    this.#after(this.#target.delayMs, added)
  }

  /** In the order in which they arose. */
  list(): WebhookDelivery[] {
    return [...this.#deliveries.values()].map(({ body: _body, retries: _retries, ...seen }) => seen)
  }

  /** From now on no attempt is made by itself. */
  hold(): void {
    this.#held = true
  }

  release(): void {
    this.#held = false
    this.#pump()
  }

  /**
   * Attempts these now, one after the other in this order, held or not, delivered before or not. Throws a `TypeError` where
   * one is not known, or where nothing says where they go.
   */
  async deliver(ids: readonly string[]): Promise<void> {
    if (this.#target === null) throw new TypeError('no webhook is set')
    const chosen = ids.map((id) => {
      const delivery = this.#deliveries.get(id)
      if (delivery === undefined) throw new TypeError(`there is no event ${id}`)
      return delivery
    })
    for (const delivery of chosen) {
      this.#ready.delete(delivery)
      await this.#attempt(delivery)
    }
  }

  /** Makes no attempt any more, and ends those that are made. */
  stop(): void {
    this.#held = true
    for (const controller of this.#posting) controller.abort()
  }

  /** Forgets all events, and ends the attempts that are made. Where events go stays as it is. */
  clear(): void {
    this.stop()
    this.#deliveries.clear()
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
    this.#ready.clear()
    this.#held = false
  }

  #after(ms: number, deliveries: readonly Delivery[]): void {
    const go = (): void => {
      for (const delivery of deliveries) if (delivery.state === 'waiting') this.#ready.add(delivery)
      this.#pump()
    }
    if (ms === 0) {
      go()
      return
    }
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      go()
    }, ms).unref()
    this.#timers.add(timer)
  }

  #pump(): void {
    while (!this.#held && this.#target !== null && this.#active < maxConcurrent) {
      const next = this.#ready.values().next().value
      if (next === undefined) return
      this.#ready.delete(next)
      this.#active += 1
      void this.#attempt(next).finally(() => {
        this.#active -= 1
        this.#pump()
      })
    }
  }

  async #attempt(delivery: Delivery): Promise<void> {
    const target = this.#target
    if (target === null) return
    const controller = new AbortController()
    this.#posting.add(controller)
    const timer = setTimeout(() => controller.abort(), timeoutMs).unref()
    const status = await post(target, delivery, controller.signal)
    clearTimeout(timer)
    this.#posting.delete(controller)
    if (!this.#deliveries.has(delivery.id)) return
    delivery.attempts += 1
    delivery.lastStatus = status
    if (status !== null && status >= 200 && status < 300) delivery.state = 'delivered'
    if (delivery.state !== 'waiting') return
    const retryMs = target.retryMs[delivery.retries]
    delivery.retries += 1
    if (retryMs === undefined) delivery.state = 'given-up'
    else this.#after(retryMs, [delivery])
  }
}

async function post(
  { url, key }: { readonly url: string; readonly key: Buffer },
  { id, body }: Delivery,
  signal: AbortSignal,
): Promise<number | null> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...signedHeaders(key, id, body, new Date()) },
      body,
      redirect: 'manual',
      signal,
    })
    await response.body?.cancel()
    return response.status
  } catch {
    return null
  }
}

/** Settings also come over HTTP, where no compiler has seen them. */
function checked(options: WebhookOptions): Required<WebhookOptions> & { readonly key: Buffer } {
  const { url, secret, delayMs = 0, retryMs = defaultRetryMs } = Object(options) as WebhookOptions
  if (!(typeof url === 'string' && URL.canParse(url) && /^https?:$/.test(new URL(url).protocol))) {
    throw new TypeError('webhook.url is not an HTTP URL')
  }
  const key = secretBytes(secret)
  if (!isTime(delayMs)) throw new TypeError('webhook.delayMs is not a number of milliseconds')
  if (!(Array.isArray(retryMs) && retryMs.every(isTime))) {
    throw new TypeError('webhook.retryMs is not an array of milliseconds')
  }
  return { url, secret, delayMs, retryMs, key }
}

function isTime(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value < 2 ** 31
}
