//! Golden files of codes and product codes.

use format_spec::{
    CodesBuilder, CodesLayout, CodesShape, Measure, PartKind, ProductBuilder, ProductLayout,
    ProductPartShape,
};

use crate::cases_b::{open, text, writer};

/// Rows of codes with numbers in place of codes; `absent` rows have none.
fn codes_of(shape: CodesShape, rows: u32, absent: u32) -> Vec<u8> {
    let mut builder = CodesBuilder::new(writer(PartKind::Codes), shape).unwrap();
    let factors = |row: u32| -> [f32; 3] {
        if row == absent || row >= rows {
            [f32::INFINITY, 0.0, 0.0]
        } else {
            [row as f32, -1.0 / 8.0, 0.5]
        }
    };
    for row in 0..rows {
        let code = if row == absent { 0 } else { row as u8 };
        if shape.row_len() > 0 {
            let mut bytes = vec![code; shape.row_len() - 16];
            bytes.extend(factors(row).iter().flat_map(|x| x.to_le_bytes()));
            bytes.extend((1.0_f32).to_le_bytes());
            builder.push(&bytes).unwrap();
        }
    }
    let mut blocks = Vec::new();
    for first in (0..rows).step_by(32) {
        let present = |row: u32| u8::from(row < rows && row != absent);
        for _ in 0..shape.padded() / 4 {
            let byte = |j| present(first + j) | present(first + 16 + j) << 5;
            blocks.extend((0..16).map(byte));
        }
        for factor in 0..3 {
            let list = (first..first + 32).map(|row| factors(row)[factor]);
            blocks.extend(list.flat_map(f32::to_le_bytes));
        }
    }
    let centre: Vec<f32> = (0..shape.padded()).map(|at| at as f32 / 4.0).collect();
    builder.finish(rows, &blocks, &centre).unwrap().0
}

pub(crate) fn codes_1() -> Vec<u8> {
    let shape = CodesShape {
        dim: 64,
        bits: 1,
        measure: Measure::Euclid,
        seed: 1,
    };
    codes_of(shape, 34, 33)
}

pub(crate) fn codes_2() -> Vec<u8> {
    let shape = CodesShape {
        dim: 70,
        bits: 2,
        measure: Measure::Dot,
        seed: 2,
    };
    codes_of(shape, 5, 0)
}

pub(crate) fn codes_4() -> Vec<u8> {
    let shape = CodesShape {
        dim: 3,
        bits: 4,
        measure: Measure::Dot,
        seed: 0x0123_4567_89ab_cdef,
    };
    codes_of(shape, 20, 2)
}

pub(crate) fn codes_8() -> Vec<u8> {
    let shape = CodesShape {
        dim: 65,
        bits: 8,
        measure: Measure::Euclid,
        seed: 7,
    };
    codes_of(shape, 33, 40)
}

pub(crate) fn reencode_codes(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let part = open(PartKind::Codes, bytes)?;
    let layout = CodesLayout::open(&part, bytes).map_err(text)?;
    layout.verify_past_end(bytes).map_err(text)?;
    let view = layout.view(bytes);
    let mut builder = CodesBuilder::new(writer(PartKind::Codes), layout.shape()).unwrap();
    (0..view.len()).for_each(|row| builder.push(view.row(row)).unwrap());
    let blocks: Vec<u8> = (0..view.block_count())
        .flat_map(|block| view.block(block).to_vec())
        .collect();
    Ok(builder
        .finish(view.len(), &blocks, &view.centre())
        .unwrap()
        .0)
}

/// Rows of codes that count, every third of them absent, and a codebook of small numbers.
fn product_of(shape: ProductPartShape, rows: u32) -> Vec<u8> {
    let mut builder = ProductBuilder::new(writer(PartKind::Product), shape).unwrap();
    for row in 0..rows {
        let code = |at: usize| (u64::from(row) + at as u64) % u64::from(shape.count);
        let codes: Vec<u8> = (0..shape.row_len()).map(|at| code(at) as u8).collect();
        builder.push((row % 3 != 2).then_some(&codes)).unwrap();
    }
    let book: Vec<f32> = (0..shape.book_len()).map(|at| at as f32 / 8.0).collect();
    builder.finish(&book).unwrap().0
}

pub(crate) fn product() -> Vec<u8> {
    let shape = ProductPartShape {
        dim: 5,
        width: 2,
        count: 256,
        seed: 0x0123_4567_89ab_cdef,
    };
    product_of(shape, 20)
}

pub(crate) fn product_few() -> Vec<u8> {
    let shape = ProductPartShape {
        dim: 3,
        width: 16,
        count: 2,
        seed: 7,
    };
    product_of(shape, 2)
}

pub(crate) fn reencode_product(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let part = open(PartKind::Product, bytes)?;
    let layout = ProductLayout::open(&part, bytes).map_err(text)?;
    layout.verify_codes(bytes).map_err(text)?;
    let view = layout.view(bytes);
    let mut builder = ProductBuilder::new(writer(PartKind::Product), layout.shape()).unwrap();
    for row in 0..view.len() {
        let codes = view.is_present(row).then(|| view.row(row));
        builder.push(codes).unwrap();
    }
    Ok(builder.finish(&view.book()).unwrap().0)
}
