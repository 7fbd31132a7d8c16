import type { IncomingMessage } from 'node:http'
import { type Answer, json, refusal } from './answer.js'
import { parseJson, readBody } from './body.js'
import type { Emulator } from './emulator.js'
import type { Fault, Faults } from './faults.js'

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
      return addFault(faults, parseJson(body))
    case 'DELETE faults':
      if (first === undefined) faults.clear()
      else if (!faults.remove(Number(first))) return refusal(404, 'not_found', 'There is no such fault.')
      return json(200, {})
    case 'POST reset':
      emulator.reset()
      return json(200, {})
  }
  return refusal(404, 'not_found', 'The emulator does not know this question.')
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

function addFault(faults: Faults, fault: unknown): Answer {
  try {
    return json(200, { id: faults.add(fault as Fault).id })
  } catch (error) {
    return refusal(400, 'invalid_fault', error instanceof Error ? error.message : 'The fault is not valid.')
  }
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
