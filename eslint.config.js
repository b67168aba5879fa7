import tseslint from "typescript-eslint";

/** Which folders a folder may not import: the arrows of the house, one way only. */
const forbid = (files, patterns, message) => ({
  files,
  rules: {
    "no-restricted-imports": ["error", { patterns: [{ regex: patterns, message }] }],
  },
});

export default tseslint.config(
  { ignores: ["dist", "coverage", "docs/api", "runs", "*.js"] },
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ["vitest.config.ts"] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "no-console": "error",
      "max-lines": ["error", { max: 400, skipComments: true, skipBlankLines: true }],
      "@typescript-eslint/restrict-template-expressions": [
        "error",
        { allowNumber: true, allowBoolean: true },
      ],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      "@typescript-eslint/dot-notation": "off",
      "@typescript-eslint/unbound-method": "off",
      // Operation settings need types: an interface has no index signature.
      "@typescript-eslint/consistent-type-definitions": "off",
    },
  },
  forbid(
    ["engine/graph/**"],
    "\\.\\./(ops|autodiff|cpu|gpu)/",
    "graph imports nothing else of the engine",
  ),
  forbid(["engine/ops/**"], "\\.\\./(autodiff|cpu|gpu)/", "ops import only graph"),
  forbid(["engine/autodiff/**"], "\\.\\./(cpu|gpu)/", "autodiff imports graph and ops"),
  forbid(["engine/cpu/**"], "\\.\\./(ops|autodiff|gpu)/", "cpu imports only graph"),
  forbid(["engine/gpu/**"], "\\.\\./(autodiff|cpu)/", "gpu imports graph and ops"),
  forbid(
    ["engine/**"],
    "/(models|distill|bench)/",
    "the engine knows nothing of what stands on it",
  ),
  forbid(
    ["models/**"],
    "/(distill|bench)/|engine/(?!index\\.ts)",
    "models import the engine through its index only",
  ),
  forbid(
    ["distill/**"],
    "/bench/|engine/(?!index\\.ts)",
    "distill imports the engine through its index only",
  ),
  {
    files: [
      "distill/cli/**",
      "bench/**",
      "test/golden.ts",
      "test/slurm.ts",
      "docs/examples/**",
      "test/steadiness.ts",
    ],
    rules: { "no-console": "off" },
  },
);
