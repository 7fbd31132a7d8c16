import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, json } from './answer.js'
import { prepareApiCall } from './api-calls.js'
import type { Call, Context } from './call.js'
import { answerControl } from './control.js'
import type { Emulator, EmulatorOptions } from './emulator.js'
import { type FaultAction, Faults } from './faults.js'
import { InFlight } from './in-flight.js'
import { type CallName, routeOf } from './route.js'
import { UrlSigner } from './signed-url.js'
import { prepareStorageCall } from './storage-calls.js'
import { Store } from './store.js'

const maxViolations = 1_000

/**
 * Starts a local SafetyKit: all calls of the Data API, strict where the API is strict.
 *
 * - One request may hold an id twice: both are accepted, and the last wins.
 * - A wrong content type of an upload is 403, as object storage answers when a signed header differs; a body without
 *   `Content-Length` is 411, an `Authorization` header 400, an expired or forged URL 403.
 * - One bad line of an upload makes the whole import `failed`, with the numbers of the lines in `error`.
 * - While a request waits for a fault's latency, a client that goes away takes it along: it is not accepted.
 *
 * It also answers questions over HTTP, without a key, for when it runs in a process of its own; `connectEmulator` is the
 * client for these:
 *
 * | | |
 * |---|---|
 * | `GET /emulator/namespaces` | `["products"]` |
 * | `GET /emulator/objects/{namespace}?limit=1000&after={id}` | `{ "objects": [StoredObject], "next": id or null }` |
 * | `GET /emulator/objects/{namespace}/{id}` | `StoredObject`, or 404 |
 * | `GET /emulator/history/{namespace}/{id}` | `[StoredObject]` |
 * | `GET /emulator/settings/{namespace}` | the schema, or 404 |
 * | `GET /emulator/requests?namespace=…` | `[StoredRequest]` |
 * | `GET /emulator/deletion-requests` | `[StoredDeletion]` |
 * | `GET /emulator/stats` | `EmulatorStats` |
 * | `GET /emulator/violations` | `["…"]` |
 * | `GET /emulator/faults` | `[{ "id", "fault", "hits" }]` |
 * | `POST /emulator/faults` with a `Fault` | `{ "id" }`, or 400 |
 * | `DELETE /emulator/faults/{id}`, `DELETE /emulator/faults` | `{}` |
 * | `POST /emulator/reset` | `{}` |
 *
 * @example
 * const emulator = await startEmulator()
 * emulator.faults.add({ when: { path: 'add', times: 3 }, do: { status: 429, retryAfter: '1' } })
 * // … run what is to be tested against emulator.url with emulator.apiKey …
 * emulator.object('products', '42')
 * await emulator.close()
 */
export async function startEmulator(options: EmulatorOptions = {}): Promise<Emulator> {
  const { port = 0, host = '127.0.0.1', apiKey = 'sk_emulator' } = options
  const store = new Store({
    keepHistory: options.keepHistory ?? true,
    keepObjects: options.keepObjects ?? true,
    processingMs: options.processingMs ?? 20,
  })
  const faults = new Faults()
  for (const fault of options.faults ?? []) faults.add(fault)
  const violations: string[] = []
  let calls = noCalls()
  let statuses: Record<number, number> = {}
  const hanging = new Set<ServerResponse>()
  let url = ''

  const violation = (text: string): void => {
    if (violations.length < maxViolations) violations.push(text)
  }
  const inFlight = new InFlight((namespace, id) => {
    violation(`${namespace}/${id} was in two requests in flight at once`)
  })
  const context: Context = {
    store,
    signer: new UrlSigner(),
    apiKey,
    maxBodyBytes: options.maxBodyBytes ?? 5 * 1024 * 1024,
    uploadTtlMs: options.uploadTtlMs ?? 12 * 60 * 60 * 1000,
    origin: () => url,
    violation,
  }

  const send = (response: ServerResponse, answer: Answer): void => {
    statuses[answer.status] = (statuses[answer.status] ?? 0) + 1
    write(response, answer)
  }

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const [path = '', query = ''] = (request.url ?? '').split('?', 2)
    if (path.startsWith('/emulator/'))
      return write(response, await answerControl(emulator, faults, request, path, query))

    const route = routeOf(request.method ?? '', path)
    if ('status' in route) {
      request.resume()
      return send(response, route)
    }
    calls[route.call] += 1
    const flight = inFlight.begin()
    response.once('close', () => {
      hanging.delete(response)
      inFlight.end(flight, true)
    })
    const isStorage = route.call === 'upload' || route.call === 'results'
    const prepare = isStorage ? prepareStorageCall : prepareApiCall
    const call = await prepare(context, { route, request, path, query })
    inFlight.hold(flight, call.namespace, call.ids)

    const namespace = call.namespace === '' ? route.namespace : call.namespace
    const { latencyMs, action } = faults.hit({ call: route.call, namespace, ids: call.ids })
    if (latencyMs > 0) await sleep(latencyMs, undefined, { ref: false })
    if (response.destroyed) return
    const answer = answerOf(call, action)
    // Before it is sent: the client's next request may be here before this connection says that it was.
    if (answer === 'hang') return void hanging.add(response)
    inFlight.end(flight, false)
    if (answer === 'reset') request.socket.resetAndDestroy()
    else send(response, answer)
  }

  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    // The one rejection is a client that went away while its body was read.
    serve(request, response).catch((error: unknown) => {
      if (!response.destroyed) response.destroy(error instanceof Error ? error : undefined)
    })
  })

  const emulator: Emulator = {
    get url() {
      return url
    },
    apiKey,
    namespaces: () => store.namespaces(),
    objects: (namespace) => store.objects(namespace),
    object: (namespace, id) => store.objects(namespace).get(id),
    history: (namespace, id) => store.history(namespace, id),
    requests: (namespace) => {
      const all = [...store.requests()]
      const wanted = namespace === undefined ? all : all.filter((request) => request.namespace === namespace)
      return wanted.map((request) => store.describe(request))
    },
    settings: (namespace) => store.settings.get(namespace),
    settingsCalls: () => store.settingsCalls,
    deletionRequests: () => [...store.deletions],
    get stats() {
      const { acceptedObjects, settingsCalls } = store
      return { calls: { ...calls }, acceptedObjects, settingsCalls, statuses: { ...statuses } }
    },
    get violations() {
      return [...violations]
    },
    faults: { add: (fault) => faults.add(fault), clear: () => faults.clear() },
    reset() {
      store.clear()
      faults.clear()
      violations.length = 0
      calls = noCalls()
      statuses = {}
      for (const response of hanging) response.destroy()
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  url = `http://${host.includes(':') ? `[${host}]` : host}:${(server.address() as AddressInfo).port}`
  return emulator
}

const html = '<!doctype html><title>Bad gateway</title><p>The page you are looking for is temporarily unavailable.</p>'

/** What a call comes to under a fault; whether it was accepted shows in the order here. */
function answerOf(call: Call, action: FaultAction | null): Answer | 'hang' | 'reset' {
  if (action === null) return call.accept()
  if ('hang' in action) return 'hang'
  if ('reset' in action) return 'reset'
  if ('reject' in action) return call.reject({ status: action.reject, message: action.message })
  if ('garbage' in action) {
    return action.garbage === true
      ? { status: 200, body: html, type: 'text/html' }
      : { status: 200, body: action.garbage }
  }
  if ('status' in action) {
    const answer = json(
      action.status,
      action.body ?? { error: { code: 'fault', message: 'The emulator was told to say this.' } },
    )
    return action.retryAfter === undefined ? answer : { ...answer, headers: { 'retry-after': action.retryAfter } }
  }
  call.accept()
  return 'hangAfterAccept' in action ? 'hang' : 'reset'
}

function write(response: ServerResponse, { status, body, type = 'application/json', headers }: Answer): void {
  const length = Buffer.byteLength(body)
  response.writeHead(status, { 'content-type': type, 'content-length': length, ...headers })
  response.end(body)
}

function noCalls(): Record<CallName, number> {
  return { add: 0, import: 0, upload: 0, status: 0, results: 0, settings: 0, deletion: 0 }
}
