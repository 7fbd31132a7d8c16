import { runScenarios } from './run.js'

runScenarios('client', '7')
