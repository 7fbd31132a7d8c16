import type { IncomingMessage } from 'node:http'
import { type Answer, json, refusal } from './answer.js'
import { parseJson, readBody } from './body.js'
import type { Emulator } from './emulator.js'
import type { Fault, Faults } from './faults.js'
import type { WebhookOptions } from './webhooks.js'

const maxBodyBytes = 1024 * 1024
const defaultPage = 1_000
const maxPage = 10_000

/** Answers what is asked below `/emulator/`; the docstring of `startEmulator` lists it. */
export async function answerControl(
  emulator: Emulator,
  faults: Faults,
  request: IncomingMessage,
  path: string,
  query: string,
): Promise<Answer> {
  const body = await readBody(request, maxBodyBytes)
  if (body === 'too-large') return refusal(413, 'payload_too_large', 'The body is too large.')
  const [, , what = '', first, second] = path.split('/').map(decode)
  const parameters = new URLSearchParams(query)
  switch (`${request.method} ${what}`) {
    case 'GET namespaces':
      return json(200, emulator.namespaces())
    case 'GET objects':
      if (first === undefined) break
      if (second === undefined) return json(200, page(emulator, first, parameters))
      return found(emulator.object(first, second))
    case 'GET history':
      if (first === undefined || second === undefined) break
      return json(200, emulator.history(first, second))
    case 'GET settings':
      if (first === undefined) break
      return found(emulator.settings(first))
    case 'GET requests':
      return json(200, emulator.requests(parameters.get('namespace') ?? undefined))
    case 'GET deletion-requests':
      return json(200, emulator.deletionRequests())
    case 'GET stats':
      return json(200, emulator.stats)
    case 'GET violations':
      return json(200, emulator.violations)
    case 'GET faults':
      return json(200, faults.list())
    case 'POST faults':
      return attempt('invalid_fault', () => ({ id: faults.add(parseJson(body) as Fault).id }))
    case 'DELETE faults':
      if (first === undefined) faults.clear()
      else if (!faults.remove(Number(first))) return refusal(404, 'not_found', 'There is no such fault.')
      return json(200, {})
    case 'POST imports':
      return imports(emulator, first, second)
    case 'GET webhooks':
      return json(200, emulator.webhooks.deliveries())
    case 'PUT webhooks':
      return attempt('invalid_webhook', () => emulator.webhooks.configure(parseJson(body) as WebhookOptions))
    case 'DELETE webhooks':
      emulator.webhooks.configure(null)
      return json(200, {})
    case 'POST webhooks':
      return webhooks(emulator, first, parseJson(body))
    case 'POST reset':
      emulator.reset()
      return json(200, {})
  }
  return unknownQuestion()
}

function page(emulator: Emulator, namespace: string, parameters: URLSearchParams): unknown {
  const limit = Math.min(Math.max(1, Number(parameters.get('limit') ?? defaultPage) || defaultPage), maxPage)
  const after = parameters.get('after')
  const objects = []
  let skipping = after !== null
  for (const object of emulator.objects(namespace).values()) {
    if (objects.length === limit) return { objects, next: objects.at(-1)?.id ?? null }
    if (!skipping) objects.push(object)
    else if (object.id === after) skipping = false
  }
  return { objects, next: null }
}

function imports({ imports }: Emulator, what: string | undefined, requestId: string | undefined): Answer {
  switch (what) {
    case 'hold':
      imports.hold()
      return json(200, {})
    case 'release':
      return json(200, { released: imports.release(requestId) })
    case 'expire-urls':
      imports.expireUrls(requestId)
      return json(200, {})
  }
  return unknownQuestion()
}

function webhooks({ webhooks }: Emulator, what: string | undefined, body: unknown): Answer | Promise<Answer> {
  switch (what) {
    case 'hold':
      webhooks.hold()
      return json(200, {})
    case 'release':
      webhooks.release()
      return json(200, {})
    case 'deliver':
      return attempt('invalid_event', () => {
        if (!Array.isArray(body)) throw new TypeError('the body is not an array of ids')
        return webhooks.deliver(...body)
      })
  }
  return unknownQuestion()
}

/** What `act` throws is wrong with what was sent. */
async function attempt(code: string, act: () => unknown): Promise<Answer> {
  try {
    return json(200, (await act()) ?? {})
  } catch (error) {
    return refusal(400, code, error instanceof Error ? error.message : 'It is not valid.')
  }
}

function unknownQuestion(): Answer {
  return refusal(404, 'not_found', 'The emulator does not know this question.')
}

function found(value: unknown): Answer {
  return value === undefined ? refusal(404, 'not_found', 'There is no such thing.') : json(200, value)
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}
