import { expect } from 'vitest'
import type { Emulator } from '../../src/emulator/index.js'
import { type Answered, ask } from './emulator.js'

const json = { 'content-type': 'application/json' }

export interface StartedImport {
  readonly requestId: string
  readonly objectKey: string
  readonly upload_url: string
}

export async function startImport(emulator: Emulator, path = '/v1/data/products/import'): Promise<StartedImport> {
  const answer = await ask(emulator, path, { body: {} })
  expect(answer.status).toBe(200)
  return answer.body as unknown as StartedImport
}

export function upload(
  emulator: Emulator,
  url: string,
  lines: string,
  headers: Record<string, string> = json,
): Promise<Answered> {
  return ask(emulator, url, { method: 'PUT', headers, body: lines })
}

/** An import of `products` that is uploaded. */
export async function uploadedImport(emulator: Emulator, ...objects: unknown[]): Promise<string> {
  const { requestId, upload_url } = await startImport(emulator)
  const lines = objects.map((object) => `${JSON.stringify(object)}\n`).join('')
  expect((await upload(emulator, upload_url, lines)).status).toBe(200)
  return requestId
}

/** The status of a request of `products`. */
export function statusOf(emulator: Emulator, requestId: string): Promise<Answered> {
  return ask(emulator, `/v1/data/products/requests/${requestId}`, { method: 'GET' })
}

/** The same, once it has succeeded or failed. */
export async function finished(emulator: Emulator, requestId: string): Promise<Answered> {
  await expect
    .poll(async () => (await statusOf(emulator, requestId)).body?.status, { timeout: 30_000 })
    .toMatch(/succeeded|failed/)
  return statusOf(emulator, requestId)
}
