import { connect } from 'node:net'

export interface Answer {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it, and fail where something is missing
  readonly body: any
}

/** One request with JSON; a string is sent as it is. */
export async function ask(url: string, method = 'GET', body?: unknown): Promise<Answer> {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const response = await fetch(url, { method, ...(body === undefined ? {} : { body: text }) })
  return { status: response.status, body: await response.json() }
}

/** Whether anything listens at the host and port of a URL. */
export function answers(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
