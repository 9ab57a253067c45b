//! How does it do with few and with many, one after the other and many at once?

use super::connections::BenchError;
use super::figures::Figures;
use super::load::Load;

/// Connections, and requests that each keeps open.
pub const CELLS: [(usize, usize); 6] = [(1, 1), (1, 64), (50, 1), (50, 16), (1000, 1), (1000, 4)];

/// What came of one cell of the grid.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Connections.
    pub clients: usize,
    /// Requests that each kept open.
    pub depth: usize,
    /// The server's figures, run by run; empty if only the pipeline was measured.
    pub server: Vec<Figures>,
    /// The bare pipeline's figures, run by run; empty if it was not measured.
    pub limit: Vec<Figures>,
}

/// What measures one load.
pub type Measure<'a> = dyn FnMut(&Load) -> Result<Figures, BenchError> + 'a;

/// Measures every cell so often. Where there are a server and a pipeline they take turns, so that whatever
/// else the machine does meets both.
///
/// # Errors
/// The first one of a measurement.
pub fn measure_grid(
    cells: &[(usize, usize)],
    runs: u32,
    load: &Load,
    mut server: Option<&mut Measure<'_>>,
    mut limit: Option<&mut Measure<'_>>,
) -> Result<Vec<Cell>, BenchError> {
    let mut grid = Vec::new();
    for &(clients, depth) in cells {
        let load = Load {
            clients,
            depth,
            ..load.clone()
        };
        let mut cell = Cell {
            clients,
            depth,
            server: Vec::new(),
            limit: Vec::new(),
        };
        for run in 0..runs {
            // Neither is always the one that finds the disk as the other has left it.
            let server_first = run % 2 == 1;
            if server_first && let Some(measure) = &mut server {
                cell.server.push(measure(&load)?);
            }
            if let Some(measure) = &mut limit {
                cell.limit.push(measure(&load)?);
            }
            if !server_first && let Some(measure) = &mut server {
                cell.server.push(measure(&load)?);
            }
        }
        grid.push(cell);
    }
    Ok(grid)
}

impl Cell {
    /// Which part of the pipeline's messages the server has acknowledged; `None` unless both were measured.
    pub fn share(&self) -> Option<f64> {
        let server = median(&self.server, Figures::each_second)?;
        let limit = median(&self.limit, Figures::each_second)?;
        Some(server / limit)
    }
}

/// The median of what some runs have given; `None` if there were none. Of an even number it is the lower one
/// of the two in the middle.
pub fn median(runs: &[Figures], what: impl Fn(&Figures) -> f64) -> Option<f64> {
    let mut values: Vec<f64> = runs.iter().map(what).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len().checked_sub(1)? / 2;
    values.get(middle).copied()
}
