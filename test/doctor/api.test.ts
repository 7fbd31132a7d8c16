import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { proxyFor } from '../../src/operate/doctor/api.js'
import { type DoctorRig, doctorForTest } from './rig.js'

const api = async (rig: DoctorRig, settings: object): Promise<Record<string, string>> => {
  const { findings } = await rig.doctor({ settings, timeoutMs: 3_000 })
  return Object.fromEntries(findings.filter(({ group }) => group === 'api').map(({ check, status }) => [check, status]))
}

test('which step on the way to the API fails is told, and the later ones are skipped', async () => {
  const rig = await doctorForTest({ migrate: false })
  expect(await api(rig, { baseUrl: () => 'https://nowhere.invalid' })).toMatchObject({
    'api-name': 'failure',
    'api-connection': 'skipped',
    'api-answer': 'skipped',
    'api-key': 'skipped',
  })
  expect(await api(rig, { baseUrl: () => 'http://127.0.0.1:1' })).toMatchObject({
    'api-name': 'ok',
    'api-connection': 'failure',
    'api-answer': 'skipped',
  })
  // It speaks HTTP alone.
  const tls = rig.emulatorUrl.replace('http:', 'https:')
  expect(await api(rig, { baseUrl: () => tls })).toMatchObject({
    'api-connection': 'ok',
    'api-tls': 'failure',
    'api-answer': 'skipped',
  })
  const proxy = { httpProxy: 'http://127.0.0.1:1' }
  expect(await api(rig, { proxy: () => proxy })).toMatchObject({ 'api-connection': 'failure', 'api-key': 'skipped' })
})

test('a server that speaks TLS without a certificate at all is told', async () => {
  const rig = await doctorForTest({ migrate: false })
  const server = createTlsServer(() => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const baseUrl = (): string => `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  expect(await api(rig, { baseUrl })).toMatchObject({ 'api-tls': 'failure' })
})

test.each([301, 404, 405])('an address that answers all with %i is told: it is not the API', async (status) => {
  const rig = await doctorForTest({ migrate: false })
  const server = createServer((_, response) => response.writeHead(status, { location: '/login' }).end())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const baseUrl = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  const { findings } = await rig.doctor({ settings: { baseUrl }, timeoutMs: 3_000, write: true })
  const found = (check: string) => findings.find((one) => one.check === check)
  expect(found('api-answer')).toMatchObject({
    status: 'warning',
    fix: [{ do: expect.stringContaining(`SAFETYKIT_BASE_URL (${baseUrl()})`) }],
  })
  expect(found('api-settings')).toMatchObject({
    status: 'failure',
    fix: [{ do: expect.stringContaining('SAFETYKIT_BASE_URL') }],
  })
})

test('a key that is refused is told without a call that writes; with --write the settings are pushed', async () => {
  const rig = await doctorForTest({ migrate: false })
  expect(await api(rig, {})).toMatchObject({ 'api-key': 'ok', 'api-settings': 'skipped' })
  const settings = { apiKey: () => 'sk_wrong_key_of_mine' }
  expect(await api(rig, settings)).toMatchObject({
    'api-answer': 'ok',
    'api-key': 'failure',
    'api-settings': 'skipped',
  })
  const told = await rig.doctor({ settings, write: true })
  expect(told.findings.find(({ check }) => check === 'api-settings')).toMatchObject({ status: 'failure' })
  expect(JSON.stringify(told)).not.toContain('sk_wrong_key_of_mine')
  const { findings } = await rig.doctor({ write: true })
  expect(findings.find(({ check }) => check === 'api-settings')).toMatchObject({ status: 'ok', subject: 'products' })
})

test.each([
  ['https://api.example', { httpsProxy: 'http://p:1' }, 'http://p:1/'],
  ['https://api.example', { httpProxy: 'http://p:1' }, 'http://p:1/'],
  ['http://api.example', { httpsProxy: 'http://p:1' }, undefined],
  ['https://api.example', { httpsProxy: 'http://p:1', noProxy: 'localhost, .example' }, undefined],
  ['https://api.example', { httpsProxy: 'http://p:1', noProxy: 'api.example:8443' }, 'http://p:1/'],
  ['https://api.example', { httpsProxy: 'http://p:1', noProxy: '*' }, undefined],
])('the proxy for %s with %j is %s', (url, proxy, expected) => {
  expect(proxyFor(new URL(url), proxy)?.href).toBe(expected)
})
