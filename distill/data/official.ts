/** @file The official files of known data sets: where they come from, and the checksums they must have. */

export interface OfficialFile {
  readonly name: string;
  /** As its publishers, or torchvision for them, state it. */
  readonly md5: string;
  /** The first is the publishers' own where that can be downloaded; the others hold the same file. */
  readonly urls: readonly string[];
}

export interface Official {
  /** The page that presents the set. */
  readonly page: string;
  readonly files: readonly OfficialFile[];
}

/** Of the four files of a set in MNIST's format. */
function idxFiles(base: string, md5: readonly [string, string, string, string]): OfficialFile[] {
  const names = ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"];
  return names.map((start, i) => {
    const name = `${start}-ubyte.gz`;
    return { name, md5: md5[i]!, urls: [base + name] };
  });
}

const EMNIST: Official = {
  page: "https://www.nist.gov/itl/products-and-services/emnist-dataset",
  files: [
    {
      name: "gzip.zip",
      md5: "58c8d27c78d21e728a6bc7b3cc06412e",
      urls: ["https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip"],
    },
  ],
};

const cifar = (name: string, md5: string): Official => ({
  page: "https://www.cs.toronto.edu/~kriz/cifar.html",
  files: [{ name, md5, urls: [`https://www.cs.toronto.edu/~kriz/${name}`] }],
});

const OFFICIAL: Readonly<Record<string, Official>> = {
  mnist: {
    page: "http://yann.lecun.com/exdb/mnist/",
    files: idxFiles("https://ossci-datasets.s3.amazonaws.com/mnist/", [
      "f68b3c2dcbeaaa9fbdd348bbdeb94873",
      "d53e105ee54ea40749a09fcbcd1e9432",
      "9fb629c4189551a2d022fa330f9573f3",
      "ec29112dd5afa0611ce80d1b7f02629c",
    ]),
  },
  "fashion-mnist": {
    page: "https://github.com/zalandoresearch/fashion-mnist",
    files: idxFiles("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", [
      "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
      "25c81989df183df01b3e8a0aad5dffbe",
      "bef4ecab320f06d8554ea6380940ec79",
      "bb300cfdad3c16e7a12a480ee83cd310",
    ]),
  },
  kmnist: {
    page: "https://github.com/rois-codh/kmnist",
    files: idxFiles("http://codh.rois.ac.jp/kmnist/dataset/kmnist/", [
      "bdb82020997e1d708af4cf47b453dcf7",
      "e144d726b3acfaa3e44228e80efcd344",
      "5c965bf0a639b31b8f53240b1b52f4d7",
      "7320c461ea6c1c855c0b718fb2a4b134",
    ]),
  },
  "cifar-10": cifar("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),
  "cifar-100": cifar("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),
  "tiny-imagenet": {
    page: "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    files: [
      {
        name: "tiny-imagenet-200.zip",
        md5: "90528d7ca1a48142e341f4ef8d21d0de",
        urls: ["http://cs231n.stanford.edu/tiny-imagenet-200.zip"],
      },
    ],
  },
};

/** The official files of the known data set called `name`; undefined for the digits, which are here. */
export function officialOf(name: string): Official | undefined {
  return name.startsWith("emnist-") ? EMNIST : OFFICIAL[name];
}

/** Further files by their MD5: the Python versions of CIFAR and their batches, MNIST unpacked. */
const OTHER_FILES: Readonly<Record<string, string>> = {
  c58f30108f718f92721af3b95e74349a: "cifar-10-python.tar.gz",
  c99cafc152244af753f735de768cd75f: "data_batch_1",
  d4bba439e000b95fd0a9bffe97cbabec: "data_batch_2",
  "54ebc095f3ab1f0389bbae665268c751": "data_batch_3",
  "634d18415352ddfa80567beed471001a": "data_batch_4",
  "482c414d41f54cd18b22e5b47cb7c3cb": "data_batch_5",
  "40351d587109b95175f43aff81a1287e": "test_batch",
  eb9058c3a382ffc7106e4002c42a8d85: "cifar-100-python.tar.gz",
  "16019d7e3df5f24257cddd939b257f8d": "train",
  f0ef6b0ae62326f3e7ffdfab6717acfc: "test",
  "6bbc9ace898e44ae57da46a324031adb": "train-images-idx3-ubyte",
  a25bea736e30d166cdddb491f175f624: "train-labels-idx1-ubyte",
  "2646ac647ad5339dbf082846283269ea": "t10k-images-idx3-ubyte",
  "27ae3e4e09519cfbb04c329615203637": "t10k-labels-idx1-ubyte",
};

/** Name of the official file with that MD5, or undefined when there is none. */
export function officialFile(md5: string): string | undefined {
  const files = [EMNIST, ...Object.values(OFFICIAL)].flatMap((set) => set.files);
  return files.find((file) => file.md5 === md5)?.name ?? OTHER_FILES[md5];
}

/** Sets whose training labels, packed or not, have that MD5: their files have the same names. */
export const IDX_LABELS: Readonly<Record<string, string>> = {
  d53e105ee54ea40749a09fcbcd1e9432: "mnist",
  a25bea736e30d166cdddb491f175f624: "mnist",
  "25c81989df183df01b3e8a0aad5dffbe": "fashion-mnist",
  "9018921c3c673c538a1fc5bad174d6f9": "fashion-mnist",
  e144d726b3acfaa3e44228e80efcd344: "kmnist",
};
