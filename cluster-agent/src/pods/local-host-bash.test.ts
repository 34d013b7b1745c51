import { localContract } from './local-contract.ts'

localContract('bash')
