import { runScenarios } from './run.js'

runScenarios('client', '6.19')
