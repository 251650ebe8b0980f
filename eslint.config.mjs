import tseslint from 'typescript-eslint';

export default tseslint.config(
  {
    ignores: [
      'dist',
      '.build/',
      '.data/',
      'coverage/',
      'node_modules/',
      'bench/peers/node_modules/',
      'test/fixtures/generated-client/',
    ],
  },
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.recommendedTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      // A promise without `await` is an effect that cannot be retried.
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/consistent-type-imports': 'off', // decorators need the classes at run time
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      // Supertest bodies and rows from SQL are untyped by nature; the DTOs and entities are the types.
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': 'off',
    },
  },
  {
    files: ['src/**/*.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector: "MemberExpression[object.name='process'][property.name='env']",
          message:
            'Configuration is read in src/config.ts (and, for the sandbox, src/sandbox/config.ts) only.',
        },
        {
          // Two ways in which a customer's value gets into a log: the message of an error, and text that quotes it.
          selector:
            "CallExpression[callee.object.property.name='log'] :matches(CallExpression[callee.name='String'], MemberExpression[property.name=/^(message|stack|detail)$/])",
          message:
            'Pass the error itself, or nameOf(error): its text may quote what a customer sent.',
        },
      ],
      'max-lines': ['error', { max: 250 }],
      'no-console': 'error',
    },
  },
  {
    // A list of cases is data.
    files: ['src/conformance/cases/*.ts'],
    rules: { 'max-lines': ['error', { max: 300 }] },
  },
  {
    files: [
      'src/config.ts',
      'src/sandbox/config.ts',
      'src/conformance/main.ts',
      'src/programs/*.ts',
      'src/local/*.ts',
    ],
    rules: { 'no-restricted-syntax': 'off' },
  },
  {
    files: ['src/programs/*.ts', 'src/local/*.ts', 'src/sandbox/main.ts'],
    rules: { 'no-console': 'off' },
  },
);
