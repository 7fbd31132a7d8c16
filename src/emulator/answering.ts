import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, json, storageRefusal } from './answer.js'
import type { Call } from './call.js'
import type { FaultAction } from './faults.js'
import type { CallName } from './route.js'

const html = '<!doctype html><title>Bad gateway</title><p>The page you are looking for is temporarily unavailable.</p>'

/** Time for a client to read what it was sent, before the connection is reset. */
const readingMs = 20

/** What a call comes to under a fault; whether it was accepted shows in the order here. */
export function answerOf(name: CallName, call: Call, action: FaultAction | null): Answer | 'hang' | 'reset' {
  if (action === null || 'resetMidway' in action) return call.accept()
  if ('hang' in action) return 'hang'
  if ('reset' in action) return 'reset'
  if ('reject' in action) return call.reject({ status: action.reject, message: action.message })
  if ('garbage' in action) {
    return action.garbage === true
      ? { status: 200, body: html, type: 'text/html' }
      : { status: 200, body: action.garbage }
  }
  if ('status' in action) {
    const answer = faultAnswer(name, action.status, action.body)
    return action.retryAfter === undefined ? answer : { ...answer, headers: { 'retry-after': action.retryAfter } }
  }
  call.accept()
  return 'hangAfterAccept' in action ? 'hang' : 'reset'
}

function faultAnswer(name: CallName, status: number, body: unknown): Answer {
  const message = 'The emulator was told to say this.'
  if (body !== undefined) return json(status, body)
  if (name === 'upload' || name === 'results') return storageRefusal(status, 'Fault', message)
  return json(status, { error: { code: 'fault', message } })
}

/** Sends an answer, at the speed of the client where it comes in blocks. */
export async function write(response: ServerResponse, answer: Answer): Promise<void> {
  const { status, body } = answer
  if (typeof body === 'string') {
    response.writeHead(status, { ...headersOf(answer), 'content-length': Buffer.byteLength(body) })
    response.end(body)
  } else {
    response.writeHead(status, headersOf(answer))
    await pipeline(Readable.from(body), response)
  }
}

/** Sends half of an answer (of one in blocks, half of the first), and resets the connection. */
export async function writeHalf(response: ServerResponse, answer: Answer): Promise<void> {
  const { status, body } = answer
  const [first = ''] = typeof body === 'string' ? [body] : body
  const bytes = Buffer.from(first)
  // A length that the half does not have, or chunks without an end: either way it is seen to be cut off.
  response.writeHead(status, {
    ...headersOf(answer),
    ...(typeof body === 'string' ? { 'content-length': bytes.length } : {}),
  })
  response.write(bytes.subarray(0, Math.ceil(bytes.length / 2)))
  await sleep(readingMs, undefined, { ref: false })
  response.socket?.resetAndDestroy()
}

/** Reads half of a body, and resets the connection. */
export async function readHalf(request: IncomingMessage): Promise<void> {
  const half = Number(request.headers['content-length'] ?? 0) / 2
  let bytes = 0
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    bytes += (chunk as Buffer).length
    if (bytes >= half) break
  }
  request.socket.resetAndDestroy()
}

function headersOf({ type = 'application/json', headers }: Answer): Record<string, string> {
  return { 'content-type': type, ...headers }
}
